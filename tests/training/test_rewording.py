"""T5 learns to read people's sentences as it reads its captions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_runs import SETTINGS

from show1 import Show1Pipeline
from show1.errors import SettingsError
from show1.training.assemble import assemble_pipeline
from show1.training.chance import Chance
from show1.training.config import DataConfig, TrainConfig
from show1.training.loop import Trainer
from show1.training.rewording import Rewording, distances
from show1.training.sources import open_clips
from show1.worlds.captions import plain_caption

BUNDLED = Path(__file__).parents[2] / "configs" / "bundled"
START = {"text_encoder": "keyframes/final/text_encoder", "tokenizer": "keyframes/final/tokenizer"}
DATA: dict[str, Any] = {"objects": ("turtle", "rocket", "car"), "max_count": 1, "phrasebook": str(BUNDLED / "phrasebook.json")}
Config = Callable[..., TrainConfig]


def test_sets_are_compared_whatever_their_order() -> None:
    chance = torch.Generator().manual_seed(0)
    made, shift = torch.randn(3, 6, 4, generator=chance), torch.randn(4, generator=chance)
    shuffled = made[:, torch.randperm(6, generator=chance)]
    assert torch.equal(distances(made, shuffled, torch.eye(4)), torch.zeros(3))
    assert torch.allclose(distances(made, shuffled + shift, torch.eye(4)), shift.square().sum().expand(3), atol=1e-5)


@pytest.fixture
def task(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> Rewording:
    (tmp_path / "synonyms.json").write_text(json.dumps({"leftish": "left"}))
    data = DataConfig(**DATA, synonyms=str(tmp_path / "synonyms.json"))
    settings = config("rewording", batch_size=8, start=START, data=data, text_tokens=24)
    return Rewording(settings, open_clips(settings, sprites, torch.device("cpu"), tmp_path), runs, torch.device("cpu"), tmp_path)


def test_words_of_the_book_and_synonyms_become_words(task: Rewording) -> None:
    assert {"▁tortoise", "▁leftish"} <= set(task.text.tokenizer.get_vocab())
    left, leftish = task.embed(task.before, ["a car moves left", "a car moves leftish"])
    assert torch.equal(left, leftish)


def test_only_sentences_are_far_at_first(task: Rewording, monkeypatch: pytest.MonkeyPatch) -> None:
    assert float(task.loss(Chance(range(8))).detach()) > 0.01
    monkeypatch.setattr(task, "sentence", lambda clips, index: plain_caption(clips.scenes[index]))
    assert float(task.loss(Chance(range(8))).detach()) < 1e-9


def test_sentences_come_near_and_captions_stay(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    settings = config(
        "rewording", steps=60, batch_size=16, learning_rate=5e-3, ema_decay=0.5, text_tokens=24, start=START, data=DataConfig(**DATA)
    )
    trainer = Trainer(settings, tmp_path / "rewording", base=runs, sprites=sprites)
    task: Any = trainer.task
    before = float(task.loss(Chance(range(1000, 1032))).detach())
    final = trainer.run()
    assert final is not None
    task.network.float()
    assert float(task.loss(Chance(range(1000, 1032))).detach()) < 0.8 * before
    assert (final / "tokenizer" / "spiece.model").is_file() and (final / "text_encoder" / "config.json").is_file()


def test_a_pipeline_is_assembled_with_the_reworded_encoder(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    for run in runs.iterdir():
        (tmp_path / run.name).symlink_to(run)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    settings = config("rewording", steps=1, start=START, data=DataConfig(**DATA), text_tokens=24)
    final = Trainer(settings, tmp_path / "rewording", base=runs, sprites=sprites).run()
    assert final is not None
    folder = assemble_pipeline(tmp_path, tmp_path / "settings.toml", tmp_path / "pipeline")
    pipe = Show1Pipeline.from_pretrained(folder)
    assert pipe.unknown_words("a tortoise and a gazebo") == ["gazebo"]
    assert pipe.training["rewording"]["steps_done"] == 1
    assert (folder / "tokenizer" / "spiece.model").read_bytes() == (final / "tokenizer" / "spiece.model").read_bytes()


def test_a_phrasebook_is_needed(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    settings = config("rewording", start=START)
    with pytest.raises(SettingsError, match="name its file as `phrasebook`"):
        Rewording(settings, open_clips(settings, sprites, torch.device("cpu"), tmp_path), runs, torch.device("cpu"), tmp_path)
