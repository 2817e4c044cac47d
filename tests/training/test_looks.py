"""What a run lets one see: losses on fixed clips by timestep, samples, throughput, and trackers."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from show1.errors import SettingsError
from show1.training.config import TrainConfig
from show1.training.loop import Trainer
from show1.training.validation import Validation

Config = Callable[..., TrainConfig]
SEEN = {"validate_every": 1, "validation_clips": 3, "validation_bands": 2}


@pytest.fixture(scope="module")
def seen(runs: Path, sprites: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was looked at after every step."""
    folder = tmp_path_factory.mktemp("seen") / "run"
    Trainer(config("interpolation", **SEEN, sample_every=2), folder, base=runs, sprites=sprites).run()
    return folder


@pytest.fixture
def trainer(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> Callable[..., Trainer]:
    def make(stage: str, **changes: object) -> Trainer:
        return Trainer(config(stage, **changes), tmp_path / stage, base=runs, sprites=sprites)

    return make


def test_validation_losses_have_a_line_a_measurement(seen: Path) -> None:
    lines = (seen / "validation.csv").read_text().splitlines()
    assert lines[0] == "step,0-499,500-999" and [line.split(",")[0] for line in lines[1:]] == ["1", "2"]
    metrics = json.loads((seen / "final" / "training.json").read_text())["metrics"]
    assert metrics["validation"] == dict(zip(("0-499", "500-999"), map(float, lines[2].split(",")[1:]), strict=True))


def test_the_same_weights_have_the_same_validation_loss_however_clips_are_put_together(trainer: Callable[..., Trainer]) -> None:
    made = trainer("first-frame", **SEEN)
    made.task.network.eval()
    first, again, single = (Validation(made.config, made.accelerator, part).measure(made.task) for part in (3, 3, 1))
    assert first == again and first == pytest.approx(single, rel=1e-5)
    with torch.no_grad():
        next(made.task.network.parameters()).mul_(2)
    assert Validation(made.config, made.accelerator, 3).measure(made.task) != first


def test_looking_leaves_the_course_as_it_is(seen: Path, runs: Path) -> None:
    assert (seen / "losses.csv").read_text() == (runs / "interpolation" / "losses.csv").read_text()


@pytest.mark.parametrize(("stage", "changes", "bands"), [("latent", {}, ["0-449", "450-899"]), ("vae", {}, ["all"])])
def test_bands_cover_what_a_stage_trains_on(
    trainer: Callable[..., Trainer], stage: str, changes: dict[str, object], bands: list[str]
) -> None:
    made = trainer(stage, **SEEN, **changes)
    made.task.network.eval()
    assert list(made.validation.measure(made.task)) == bands  # type: ignore[union-attr]


def test_samples_are_a_sheet_and_a_video(seen: Path) -> None:
    with Image.open(seen / "samples" / "step-2.png") as sheet:
        assert sheet.width > 9 * 64 and sheet.height > 8 * 40
    with av.open(str(seen / "samples" / "step-2.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 9 and frames[0].shape == (2 * 40, 4 * 64, 3)


def test_tensorboard_gets_losses_speed_validation_and_samples(seen: Path) -> None:
    events = EventAccumulator(str(next(p.parent for p in (seen / "logs").rglob("events.*"))), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss", "rate", "clips_per_second", "validation/0-499", "validation/500-999"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("clips_per_second")] == [1, 2] and "samples" in tags["images"]


def test_the_bar_shows_loss_and_speed(trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]) -> None:
    trainer("first-frame", log_with=()).run()
    shown = capsys.readouterr().err
    assert "loss=" in shown and "clips_s=" in shown


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="Weights & Biases is installed")
def test_a_tracker_that_is_not_installed_is_an_error(trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(SettingsError, match=r"wandb, which is not installed.*show1\[wandb\]"):
        trainer("first-frame", log_with=("wandb",))


def test_a_tracker_nobody_knows_is_an_error(config: Config) -> None:
    with pytest.raises(SettingsError, match="log_with names 'mlflow'"):
        config("vae", log_with=("mlflow",))
