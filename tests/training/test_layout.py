"""The conditioning vector of a keyframe network tells where objects are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

import tiny
from show1 import PixelUNet
from show1.errors import SettingsError
from show1.models.inflate import with_labels
from show1.models.loading import load_network
from show1.training.chance import Chance
from show1.training.layout import CELLS, SIDE, STRENGTH, USUAL_SIDE, conditioning, directions, layout, layout_errors
from show1.training.loop import Trainer

TEXT = torch.randn(2, 5, tiny.TEXT_WIDTH, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([900, 30])
LABELS = torch.tensor([[0.0, 500, 999], [999, 500, 0]])

NAMES = {"network": "keyframes_unet", "scheduler": "keyframes_scheduler", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}


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
    told = layout(mask)[0]
    maps = told[:, :-1].unflatten(-1, CELLS)
    assert maps[0, 1].tolist() == [0, 0, 1, 0.5, 0] and maps[0, ::2].sum() == 0
    assert maps[1].sum() == 0  # no object, no map
    assert told[0, -1] == pytest.approx(SIDE * ((1.5 / 15) ** 0.5 - USUAL_SIDE))


def test_a_vector_that_tells_the_map_is_without_error() -> None:
    mask = (torch.rand(2, 1, 3, 12, 20, generator=torch.Generator().manual_seed(2)) > 0.9).float()
    rows = directions(32)
    assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
    telling = STRENGTH * layout(mask) @ rows
    assert layout_errors(telling, mask).abs().max() < 1e-8
    blind = layout_errors(torch.zeros_like(telling), mask)
    assert torch.allclose(blind, (STRENGTH * layout(mask)).square().flatten(1).mean(1))


def test_the_stage_trains_what_makes_the_vector_and_nothing_else(runs: Path, sprites: Path, config: Any, tmp_path: Path) -> None:
    start = {part: f"keyframes-image/final/{folder}" for part, folder in NAMES.items()}
    wanted = config("layout", steps=40, batch_size=8, learning_rate=1e-2, start=start, network={"class_embed_type": "timestep"})
    trainer = Trainer(wanted, tmp_path / "layout", base=runs, sprites=sprites)
    chance = Chance(range(64))
    with torch.no_grad():
        before = float(trainer.task.loss(chance))
    assert trainer.run() == tmp_path / "layout" / "final"
    trainer.task.network.float()
    with torch.no_grad():
        assert float(trainer.task.loss(Chance(range(64)))) < 0.8 * before
    made = load_network(UNet2DConditionModel, tmp_path / "layout/final/keyframes_unet").state_dict()
    was = load_network(UNet2DConditionModel, runs / "keyframes-image/final/keyframes_unet").state_dict()
    changed = {name.split(".")[0] for name in was if not torch.equal(made[name], was[name])}
    assert changed == {"time_embedding", "add_embedding"} and "class_embedding.linear_1.weight" in made
    assert (tmp_path / "layout/final/keyframes_scheduler/scheduler_config.json").is_file()


@pytest.mark.parametrize(("stage", "weight"), [("layout", 0.0), ("keyframes-image", 0.1)])
def test_a_network_that_is_not_told_moments_is_refused(
    runs: Path, sprites: Path, config: Any, tmp_path: Path, stage: str, weight: float
) -> None:
    start = {part: f"keyframes-image/final/{folder}" for part, folder in NAMES.items()}
    with pytest.raises(SettingsError, match="class_embed_type"):
        Trainer(config(stage, layout_weight=weight, start=start, network={}), tmp_path / stage, base=runs, sprites=sprites)
