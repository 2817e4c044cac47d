"""Keyframe networks that are told where and when they look."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

import tiny
from show1.cascade.keyframes import coordinates, even_moments, keyframes_call, sample_keyframes
from show1.cascade.settings import SamplerSettings
from show1.cascade.stage import Sampler, Text
from show1.diffusion.blending import in_windows
from show1.errors import CheckpointError
from show1.models.inflate import with_more_inputs
from show1.models.unet import PixelUNet


def test_coordinates_run_from_minus_one_to_one_right_down_and_on() -> None:
    x, y, time = coordinates(even_moments(3), (5, 4))[0]
    assert x.shape == y.shape == time.shape == (3, 4, 5)
    assert torch.equal(x[1, 2], torch.tensor([-1, -0.5, 0, 0.5, 1])) and torch.equal(y[1, :, 2], torch.linspace(-1, 1, 4))
    assert torch.equal(time[:, 1, 1], torch.tensor([-1.0, 0, 1]))
    each = coordinates(torch.tensor([[0.0, 1.0], [0.5, 0.75]]), (5, 4))
    assert each.shape == (2, 3, 2, 4, 5) and each[1, 2, :, 0, 0].tolist() == [0, 0.5]


def test_a_long_video_is_one_path_over_all_its_windows() -> None:
    """Each window is told its part of the whole video's time, so that nothing begins anew where a window does."""

    def clock(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        return noisy[:, 5:]

    call = keyframes_call(in_windows(clock, 15, 8, 4), coordinates(even_moments(15), (2, 2)))
    told = call(torch.zeros(2, 3, 15, 2, 2), torch.tensor(0), torch.zeros(2, 1, 1))[1, 0, :, 0, 0]
    assert torch.allclose(told, torch.linspace(-1, 1, 15), atol=1e-6)


@pytest.fixture
def network() -> Any:
    return tiny.named(PixelUNet.from_config(tiny.pixel_config(3)))


def test_new_inputs_are_ignored_until_they_are_trained(network: Any) -> None:
    noisy, text = torch.randn(1, 3, 3, 8, 16), torch.randn(1, 5, tiny.TEXT_WIDTH)
    with torch.no_grad():
        before = network(noisy, 7, text).sample
        state = torch.get_rng_state()
        wider = with_more_inputs(network, 6)
        assert torch.equal(torch.get_rng_state(), state)
        assert wider.config.in_channels == 6
        assert torch.allclose(wider(torch.cat([noisy, torch.randn(1, 3, 3, 8, 16)], 1), 7, text).sample, before, atol=1e-6)


def test_inputs_are_never_taken_away() -> None:
    with pytest.raises(CheckpointError, match="in_channels is 3, but the network that is started from reads 6"):
        with_more_inputs(UNet2DConditionModel.from_config(tiny.pixel_config(6, dimensions=2)), 3)


def test_sampling_tells_coordinates_to_networks_that_read_them() -> None:
    text = Text(torch.randn(1, 5, tiny.TEXT_WIDTH, generator=torch.Generator().manual_seed(1)))
    network = tiny.named(PixelUNet.from_config(tiny.pixel_config(6)))
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        video = sample_keyframes(Sampler(network, tiny.solver(), SamplerSettings(steps=2, guidance=1.0)), text, 4, (16, 8), [3])
    assert video.shape == (1, 3, 4, 8, 16)
    assert all(torch.equal(given[:, 3:], coordinates(even_moments(4), (16, 8))) for given in seen)
