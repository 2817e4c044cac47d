"""The loop: going on where it stopped, seeds, and failures."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from show1.errors import DataError, SettingsError, Show1Error
from show1.training.config import TrainConfig
from show1.training.loop import Trainer

Config = Callable[..., TrainConfig]


def weights(final: Path) -> dict[str, torch.Tensor]:
    return {f"{p.parent.name}.{k}": v for p in sorted(final.rglob("*.safetensors")) for k, v in load_file(p).items()}


@pytest.fixture
def train(runs: Path, sprites: Path) -> Callable[..., Path]:
    def run(config: TrainConfig, folder: Path, **options: float) -> Path:
        return Trainer(config, folder, base=runs, sprites=sprites, **options).run()

    return run


@pytest.mark.parametrize("log_every", [1, 2])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    train: Callable[..., Path], config: Config, tmp_path: Path, log_every: int
) -> None:
    wanted = config("keyframes", steps=3, decay_steps=2, log_every=log_every)
    whole = train(wanted, tmp_path / "whole")
    train(wanted, tmp_path / "broken", max_minutes=0)
    train(wanted, tmp_path / "broken", max_minutes=0)
    broken = train(wanted, tmp_path / "broken")
    have, want = weights(broken), weights(whole)
    assert have.keys() == want.keys() and all(torch.equal(have[name], want[name]) for name in want)
    assert (tmp_path / "broken" / "losses.csv").read_text() == (tmp_path / "whole" / "losses.csv").read_text()


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(train: Callable[..., Path], config: Config, tmp_path: Path) -> None:
    wanted = config("first-frame", steps=3, checkpoint_every=1)
    whole = train(wanted, tmp_path / "run")
    losses, want = (tmp_path / "run" / "losses.csv").read_text(), weights(whole)
    (tmp_path / "run" / "checkpoints" / "step-3").rename(tmp_path / "run" / "checkpoints" / ".partial-3")
    again = train(wanted, tmp_path / "run")
    assert all(torch.equal(value, want[name]) for name, value in weights(again).items())
    assert (tmp_path / "run" / "losses.csv").read_text() == losses, "a step that is made again has one line"


def test_a_finished_run_stays_as_it_is(train: Callable[..., Path], config: Config, runs: Path) -> None:
    before, losses = weights(runs / "interpolation" / "final"), (runs / "interpolation" / "losses.csv").read_text()
    again = train(config("interpolation"), runs / "interpolation")
    assert all(torch.equal(value, before[name]) for name, value in weights(again).items())
    assert (runs / "interpolation" / "losses.csv").read_text() == losses


def test_the_seed_decides(train: Callable[..., Path], config: Config, tmp_path: Path, runs: Path) -> None:
    first = (runs / "first-frame" / "losses.csv").read_text()
    train(config("first-frame"), tmp_path / "same")
    train(config("first-frame", seed=6), tmp_path / "other")
    assert (tmp_path / "same" / "losses.csv").read_text() == first
    assert (tmp_path / "other" / "losses.csv").read_text() != first


def test_global_random_state_stays_as_it_is(train: Callable[..., Path], config: Config, tmp_path: Path) -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    train(config("first-frame", steps=1), tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_last_two_checkpoints_are_kept(train: Callable[..., Path], config: Config, tmp_path: Path) -> None:
    train(config("first-frame", steps=4, checkpoint_every=1), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-3", "step-4"]


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step(train: Callable[..., Path], config: Config, tmp_path: Path) -> None:
    with pytest.raises(
        Show1Error, match=r"nan at step 2, the batch of clips 5000000037 to 5000000038; the last good checkpoint is that of step 1"
    ):
        train(config("first-frame", steps=4, learning_rate=1e30, checkpoint_every=1), tmp_path / "run")
    assert not (tmp_path / "run" / "final").exists()


def test_missing_sprites_are_an_error(config: Config, tmp_path: Path) -> None:
    for folder in (None, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="sprites"):
            Trainer(config("vae"), tmp_path / "run", base=tmp_path, sprites=folder)


def test_the_latent_stage_asks_for_its_vae(config: Config, sprites: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="vae"):
        Trainer(config("latent-text", start={}), tmp_path / "run", base=tmp_path, sprites=sprites)
