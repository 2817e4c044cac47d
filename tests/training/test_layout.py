"""The conditioning vector of a keyframe network tells where objects are."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

import tiny
from show1 import PixelUNet
from show1.models.inflate import with_labels
from show1.training.layout import CELLS, STRENGTH, conditioning, directions, layout, layout_errors

TEXT = torch.randn(2, 5, tiny.TEXT_WIDTH, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([900, 30])
LABELS = torch.tensor([[0.0, 500, 999], [999, 500, 0]])


def seen_by_layers(network: nn.Module) -> list[Tensor]:
    """The vectors that the first layer with one is conditioned on from now on."""
    seen: list[Tensor] = []
    layer = next(module for name, module in network.named_modules() if name.endswith("time_emb_proj"))
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


@torch.no_grad()
def test_the_vector_is_what_a_video_networks_layers_are_given() -> None:
    network = tiny.named(PixelUNet.from_config({**tiny.pixel_config(3), "class_embed_type": "timestep"}))
    seen = seen_by_layers(network)
    network(torch.randn(2, 3, 3, 8, 16), TIMES, TEXT, class_labels=LABELS)
    assert torch.allclose(seen[0], conditioning(network, TIMES, TEXT, LABELS).flatten(0, 1), atol=1e-6)


@torch.no_grad()
def test_the_vector_is_what_an_image_networks_layers_are_given() -> None:
    network: Any = tiny.named(with_labels(UNet2DConditionModel.from_config(tiny.pixel_config(3, dimensions=2))))
    seen = seen_by_layers(network)
    network(torch.randn(2, 3, 8, 16), TIMES, TEXT, class_labels=LABELS[:, 0])
    assert torch.allclose(seen[0], conditioning(network, TIMES, TEXT, LABELS[:, :1]).squeeze(1), atol=1e-6)


def test_a_map_is_the_share_of_each_cell_against_the_fullest() -> None:
    mask = torch.zeros(1, 1, 2, 3 * 4, 5 * 4)
    mask[0, 0, 0, 4:8, 8:12] = 1  # the middle cell
    mask[0, 0, 0, 4:6, 12:16] = 1  # half of the one on its right
    maps = layout(mask)[0].unflatten(-1, CELLS)
    assert maps[0, 1].tolist() == [0, 0, 1, 0.5, 0] and maps[0, ::2].sum() == 0
    assert maps[1].sum() == 0  # no object, no map


def test_a_vector_that_tells_the_map_is_without_error() -> None:
    mask = (torch.rand(2, 1, 3, 12, 20, generator=torch.Generator().manual_seed(2)) > 0.9).float()
    rows = directions(32)
    assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
    telling = STRENGTH * layout(mask) @ rows
    assert layout_errors(telling, mask).abs().max() < 1e-8
    blind = layout_errors(torch.zeros_like(telling), mask)
    assert torch.allclose(blind, (STRENGTH * layout(mask)).square().flatten(1).mean(1))
