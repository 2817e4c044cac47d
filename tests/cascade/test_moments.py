"""Keyframe networks that are told each frame's moment."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

import tiny
from show1.cascade.keyframes import LAST_MOMENT, even_moments, keyframes_call, sample_keyframes
from show1.cascade.settings import SamplerSettings
from show1.cascade.stage import Sampler, Text
from show1.diffusion.blending import in_windows
from show1.models.inflate import with_labels
from show1.models.unet import PixelUNet

ONCE = SamplerSettings(steps=2, guidance=1.0)
TEXT = torch.randn(1, 5, tiny.TEXT_WIDTH, generator=torch.Generator().manual_seed(1))


def told(network: torch.nn.Module) -> list[Tensor]:
    """What a network is told from now on."""
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["class_labels"]), with_kwargs=True)
    return seen


@pytest.fixture
def reader() -> Any:
    """A network that reads moments."""
    return tiny.named(PixelUNet.from_config({**tiny.pixel_config(3), "class_embed_type": "timestep"}))


def test_moments_run_from_the_first_keyframe_to_the_last() -> None:
    assert torch.allclose(even_moments(4), torch.tensor([[0.0, 333, 666, 999]])) and LAST_MOMENT == 999
    assert even_moments(1).tolist() == [[0]]


def test_each_frame_has_its_own_time_embedding(reader: Any) -> None:
    noisy = torch.randn(1, 3, 1, 8, 16, generator=torch.Generator().manual_seed(2)).expand(-1, -1, 3, -1, -1)
    for module in reader.modules():  # what frames tell each other, off
        if type(module).__name__ in ("TemporalConv", "TemporalTransformer"):
            module.forward = lambda hidden, num_frames=1: hidden
    with torch.no_grad():
        one, two, three = reader(noisy, 7, TEXT, class_labels=torch.tensor([[5.0, 300, 5]])).sample.unbind(2)
        alone = reader(noisy[:, :, :1], 7, TEXT, class_labels=torch.tensor([300.0])).sample[:, :, 0]
    assert torch.allclose(one, three, atol=1e-6) and torch.allclose(two, alone, atol=1e-5) and not torch.allclose(one, two, atol=1e-3)


def test_sampling_tells_moments_to_networks_that_read_them(reader: Any) -> None:
    seen = told(reader)
    with torch.no_grad():
        video = sample_keyframes(Sampler(reader, tiny.solver(), ONCE), Text(TEXT, TEXT), 4, (16, 8), [3])
    assert video.shape == (1, 3, 4, 8, 16)
    assert seen and all(torch.equal(labels, even_moments(4)) for labels in seen)


def test_a_long_video_is_one_path_over_all_its_windows(reader: Any) -> None:
    """Each window is told its part of the whole video's time, so that nothing begins anew where a window does."""
    seen, moments = told(reader), even_moments(15)
    sampler = Sampler(reader, tiny.solver(), ONCE)
    call = in_windows(lambda part: keyframes_call(sampler, moments[:, part]), 15, 8, 4)
    with torch.no_grad():
        call(torch.zeros(2, 3, 15, 8, 16), torch.tensor(0), TEXT.expand(2, -1, -1))
    assert [labels[1].tolist() for labels in seen] == [moments[0, first : first + 8].tolist() for first in (0, 4, 7)]


@pytest.mark.parametrize(("cls", "dimensions"), [(PixelUNet, 3), (UNet2DConditionModel, 2)])
def test_new_labels_are_ignored_until_they_are_trained(cls: Any, dimensions: int) -> None:
    network = tiny.named(cls.from_config(tiny.pixel_config(3, dimensions=dimensions)))
    noisy = torch.randn(1, 3, *([3] if dimensions == 3 else []), 8, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        before = network(noisy, 7, TEXT).sample
        state = torch.get_rng_state()
        reader = with_labels(network)
        assert torch.equal(torch.get_rng_state(), state)
        assert reader.config.class_embed_type == "timestep"
        assert torch.equal(reader(noisy, 7, TEXT, class_labels=torch.tensor([300])).sample, before)
    reader(noisy, 7, TEXT, class_labels=torch.tensor([300])).sample.square().mean().backward()
    assert float(reader.class_embedding.linear_2.weight.grad.abs().max()) > 0
