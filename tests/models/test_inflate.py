"""An image network inflated to a video network, and gradient checkpointing of the video network."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

import tiny
from show1 import PixelUNet
from show1.errors import CheckpointError
from show1.models.inflate import inflate, is_temporal, with_temporal

TEXT = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([5, 700])
LEVELS = torch.tensor([3, 250])


def image_network(upscaler: bool) -> nn.Module:
    config = tiny.pixel_config(6 if upscaler else 3, dimensions=2, upscaler=upscaler)
    return tiny.named(UNet2DConditionModel.from_config(config))


@pytest.mark.parametrize("upscaler", [False, True])
@torch.no_grad()
def test_an_inflated_network_is_the_image_network_frame_by_frame(upscaler: bool) -> None:
    image = image_network(upscaler)
    video = inflate(image).eval()
    labels = {"class_labels": LEVELS} if upscaler else {}
    noisy = torch.randn(2, 6 if upscaler else 3, 4, 8, 16, generator=torch.Generator().manual_seed(2))
    whole = video(noisy, TIMES, TEXT, **labels).sample
    frames = [image(noisy[:, :, frame], TIMES, TEXT, **labels).sample for frame in range(4)]
    assert (whole - torch.stack(frames, dim=2)).abs().max() < 1e-5


def test_only_temporal_layers_are_new() -> None:
    image, video = image_network(False), inflate(image_network(False))
    new = set(video.state_dict()) - set(image.state_dict())
    assert new and all(is_temporal(name) for name in new)
    assert all(torch.equal(video.state_dict()[name], value) for name, value in image.state_dict().items())


def test_a_weight_without_a_place_is_refused() -> None:
    image = image_network(False)
    image.register_parameter("surplus", nn.Parameter(torch.zeros(2)))
    with pytest.raises(CheckpointError, match="unexpected: surplus"):
        inflate(image)


def gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
    network = tiny.named(PixelUNet.from_config(tiny.pixel_config()))
    if checkpointing:
        network.enable_gradient_checkpointing()
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    noisy = torch.randn(1, 3, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    network(noisy, TIMES[:1], TEXT[:1]).sample.square().mean().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    plain, checkpointed = gradients(False), gradients(True)
    assert plain.keys() == checkpointed.keys()
    assert all(torch.allclose(plain[name], checkpointed[name], atol=1e-6) for name in plain)


def test_temporal_layers_come_from_another_video_network(tmp_path: Path) -> None:
    image, other = image_network(False), inflate(image_network(False))
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1.0)
    video = with_temporal(inflate(image), other, tmp_path)
    theirs, spatial = other.state_dict(), image.state_dict()
    for name, weight in video.state_dict().items():
        assert torch.equal(weight, theirs[name] if is_temporal(name) else spatial[name]), name


def test_temporal_layers_of_another_shape_are_refused(tmp_path: Path) -> None:
    other = PixelUNet.from_config({**tiny.pixel_config(), "layers_per_block": 2})
    with pytest.raises(CheckpointError, match=r"unexpected: .*temp_"):
        with_temporal(inflate(image_network(False)), other, tmp_path)
