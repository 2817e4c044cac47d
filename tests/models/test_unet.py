"""The pixel video network: sizes, batches, frames, and configs that it refuses."""

from typing import Any

import pytest
import torch

import tiny
from show1 import PixelUNet
from show1.errors import Show1Error

TEXT = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> PixelUNet:
    return tiny.named(PixelUNet.from_config(tiny.pixel_config()))


def noisy(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("shape", [(2, 3, 1, 8, 8), (2, 3, 7, 4, 10), (2, 3, 2, 2, 2)])
@torch.no_grad()
def test_any_number_of_frames_and_any_even_size_fit(network: PixelUNet, shape: tuple[int, ...]) -> None:
    out = network(noisy(*shape), torch.tensor([3, 9]), TEXT).sample
    assert out.shape == (2, 6, *shape[2:]) and torch.isfinite(out).all()


@torch.no_grad()
def test_a_video_does_not_depend_on_its_batch(network: PixelUNet) -> None:
    sample, times = noisy(2, 3, 3, 8, 8), torch.tensor([3, 900])
    both = network(sample, times, TEXT).sample
    assert (both[1:] - network(sample[1:], times[1:], TEXT[1:]).sample).abs().max() < 1e-5


@torch.no_grad()
def test_frames_see_each_other_and_the_text_is_read(network: PixelUNet) -> None:
    sample = noisy(1, 3, 4, 8, 8)
    out = network(sample, torch.tensor(3), TEXT[:1]).sample
    changed = sample.clone()
    changed[:, :, 3] += 1
    assert (network(changed, torch.tensor(3), TEXT[:1]).sample - out)[:, :, 0].abs().max() > 1e-4
    assert (network(sample, torch.tensor(3), TEXT[1:]).sample - out).abs().max() > 1e-4


@torch.no_grad()
def test_inputs_are_not_modified(network: PixelUNet) -> None:
    sample, text = noisy(1, 3, 2, 8, 8), TEXT[:1].clone()
    before = sample.clone()
    network(sample, torch.tensor(3), text)
    assert torch.equal(sample, before) and torch.equal(text, TEXT[:1])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"down_block_types": ["DownBlock3D"] * 2}, "DownBlock3D"),
        ({"up_block_types": ["Nothing"] * 2}, "Nothing"),
        ({"mid_block_type": "None"}, "mid block 'None'"),
        ({"class_embed_type": "projection"}, "projection"),
        ({"layers_per_block": [1, 1, 1]}, "layers_per_block"),
        ({"dual_cross_attention": True}, "dual_cross_attention"),
        ({"time_embedding_type": "fourier"}, "fourier"),
    ],
)
def test_options_that_no_published_network_has_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(Show1Error, match=text):
        PixelUNet.from_config({**tiny.pixel_config(), **change})


def test_noise_levels_are_required_where_the_network_reads_them(network: PixelUNet) -> None:
    upscaler = PixelUNet.from_config(tiny.pixel_config(6, upscaler=True))
    with pytest.raises(Show1Error, match="class_labels"):
        upscaler(noisy(1, 6, 2, 8, 8), torch.tensor(3), TEXT[:1])


def test_odd_sizes_are_refused(network: PixelUNet) -> None:
    with pytest.raises(Show1Error, match="9"):
        network(noisy(1, 3, 2, 9, 8), torch.tensor(3), TEXT[:1])


def test_channels_stay_last_in_memory_while_it_learns_in_bfloat16() -> None:
    network = PixelUNet.from_config(tiny.pixel_config()).train()
    orders = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(lambda _, args: orders.append(args[0].is_contiguous(memory_format=torch.channels_last)))
    sample, text = torch.zeros(2, 3, 3, 16, 24), torch.zeros(2, 5, tiny.TEXT_WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        network(sample, 5, text)
    assert orders and all(orders)
