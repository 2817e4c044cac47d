"""T5 learns to tell motions apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.config import TrainConfig
from show1.training.loop import Trainer
from show1.training.sources import open_clips
from show1.training.telling import STRENGTH, TOLD, Telling, mark
from show1.worlds.scenes import is_held_out

START = {"text_encoder": "keyframes/final/text_encoder", "tokenizer": "keyframes/final/tokenizer"}
Config = Callable[..., TrainConfig]


def test_marks_are_of_length_one_and_nearly_at_right_angles() -> None:
    marks = torch.stack([mark("motion", value, 192) for value in ("left", "right", "up", "down")])
    assert torch.allclose(marks @ marks.T, torch.eye(4), atol=0.25) and torch.equal(marks[0], mark("motion", "left", 192))


@pytest.fixture
def task(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> Telling:
    settings = config("text", batch_size=8, start=START)
    return Telling(settings, open_clips(settings, sprites, torch.device("cpu"), tmp_path), runs, torch.device("cpu"), tmp_path)


def test_the_loss_begins_at_the_marks_that_are_missing(task: Telling) -> None:
    chance = Chance(range(8))
    clips: Any = task.clips(chance)
    assert not any(is_held_out(scene) for scene in clips.scenes)
    told = chance.uniform() >= task.config.caption_dropout
    chance = Chance(range(8))
    missing = task.marks(clips, task.network.config.d_model).square().sum(-1) * told
    assert float(task.loss(chance).detach()) == pytest.approx(float(missing.mean()), rel=1e-4)
    assert STRENGTH**2 < float(missing.max()) < (len(TOLD) * STRENGTH) ** 2


def test_motions_come_apart(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    settings = config("text", steps=60, batch_size=16, learning_rate=5e-3, ema_decay=0.5, text_tokens=24, start=START)
    trainer = Trainer(settings, tmp_path / "text", base=runs, sprites=sprites)
    task: Any = trainer.task
    width = task.network.config.d_model
    between = mark("motion", "left", width) - mark("motion", "right", width)

    def apart(encoder: torch.nn.Module) -> float:
        left, right = task.embed(encoder, ["a turtle moves left", "a turtle moves right"]).detach().float().mean(1)
        return float((left - right) @ between)

    before = apart(task.before)
    assert trainer.run() == tmp_path / "text" / "final"
    assert apart(task.network) > before
    assert (tmp_path / "text" / "final" / "tokenizer" / "tokenizer.json").is_file()
    assert (tmp_path / "text" / "final" / "text_encoder" / "config.json").is_file()


def test_a_trained_encoder_is_needed(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    settings = config("text", start={})
    with pytest.raises(SettingsError, match="name its folder as `text_encoder`"):
        Telling(settings, open_clips(settings, sprites, torch.device("cpu"), tmp_path), runs, torch.device("cpu"), tmp_path)
