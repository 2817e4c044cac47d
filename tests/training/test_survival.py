"""No run is lost: it is killed, preempted, left without room, or given other settings, and goes on from its last good checkpoint."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import worker

from show1.errors import CheckpointError, DataError, SettingsError
from show1.models.reading import read_weights
from show1.training.checkpoints import PARTS, checkpoint_steps
from show1.training.config import TrainConfig
from show1.training.loop import Trainer

Config = Callable[..., TrainConfig]
KILLS = 5
STEPS = 14


@pytest.fixture(scope="module")
def processes(runs: Path, sprites: Path) -> worker.Runs:
    return worker.Runs(runs, sprites)


@pytest.fixture(scope="module")
def long_run(config: Config) -> TrainConfig:
    return config("first-frame", steps=STEPS, checkpoint_every=2, decay_steps=4, precision="bf16")


@pytest.fixture(scope="module")
def unbroken(processes: worker.Runs, long_run: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert processes.finish(long_run, folder) == 0
    return folder


def same_end(one: Path, other: Path) -> bool:
    """Whether two runs have the same curve and checkpoint, bit for bit."""
    name = f"checkpoints/step-{STEPS}"
    files = [f"{name}/{part}.safetensors" for part in PARTS]
    return worker.losses(one) == worker.losses(other) and all((one / file).read_bytes() == (other / file).read_bytes() for file in files)


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_at_any_moment_leaves_the_curve_as_it_is(
    processes: worker.Runs, long_run: TrainConfig, unbroken: Path, tmp_path: Path, seed: int
) -> None:
    chance, folder, ends = random.Random(seed), tmp_path / "run", []
    for _ in range(KILLS):
        process, done = processes.start(long_run, folder), len(worker.losses(folder))
        with worker.killed(process):
            step = done + chance.randint(1, 4)
            worker.wait_for(lambda step=step: len(worker.losses(folder)) >= step, process)  # type: ignore[misc]
            time.sleep(chance.random() * 0.15)  # in the middle of a step, or of writing a checkpoint
        ends.append(process.exitcode)
    assert ends.count(-signal.SIGKILL) >= KILLS - 1
    assert processes.finish(long_run, folder) == 0
    assert len(worker.losses(unbroken)) == STEPS and same_end(folder, unbroken)
    assert not list((folder / "checkpoints").glob(".partial*")), "what a killed run left half-written is cleared away"


def test_sigterm_saves_and_the_run_goes_on(processes: worker.Runs, long_run: TrainConfig, unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = processes.start(long_run, folder)
    with worker.killed(process, signal.SIGTERM):
        worker.wait_for(lambda: len(worker.losses(folder)) >= 3, process)
    assert process.exitcode == 143
    assert checkpoint_steps(folder / "checkpoints")[-1] == len(worker.losses(folder)) < STEPS, "the last step made is the one saved"
    assert not (folder / "final").exists()
    assert processes.finish(long_run, folder) == 0
    assert same_end(folder, unbroken)


def test_a_full_disk_leaves_the_last_good_checkpoint(processes: worker.Runs, config: Config, tmp_path: Path) -> None:
    folder, wanted = tmp_path / "run", config("first-frame", steps=2, checkpoint_every=2)
    assert processes.finish(wanted, folder) == 0
    more = config("first-frame", steps=4, checkpoint_every=2)
    assert processes.finish(more, folder, file_limit=100_000) == 1
    message = (tmp_path / "error.txt").read_text()
    assert "checkpoint of step 4 could not be written" in message and "step 2" in message and "File too large" in message
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-2"]
    assert processes.finish(more, folder) == 0, "with room again the run goes on"


def test_other_settings_are_refused_by_name(runs: Path, sprites: Path, config: Config) -> None:
    before = (runs / "first-frame" / "losses.csv").read_text()
    with pytest.raises(SettingsError, match=r"learning_rate was 0.0003 and is now 0.1.*folder of its own"):
        Trainer(config("first-frame", steps=5, learning_rate=0.1), runs / "first-frame", base=runs, sprites=sprites).run()
    assert (runs / "first-frame" / "losses.csv").read_text() == before


def test_settings_that_leave_the_course_may_change(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    for changes in ({"steps": 1}, {"steps": 2, "log_every": 2, "keep_checkpoints": 1, "accumulate": 2, "gradient_checkpointing": True}):
        Trainer(config("first-frame", **changes), tmp_path / "run", base=runs, sprites=sprites).run()
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == [2]


@pytest.mark.parametrize("file", ["weights.safetensors", "run.json"])
def test_a_damaged_checkpoint_is_named_with_the_way_back(runs: Path, sprites: Path, config: Config, tmp_path: Path, file: str) -> None:
    wanted = config("first-frame", steps=2, checkpoint_every=1)
    Trainer(wanted, tmp_path / "run", base=runs, sprites=sprites).run()
    damaged = tmp_path / "run" / "checkpoints" / "step-2" / file
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"step-2.*Remove that folder to go on from step 1"):
        Trainer(wanted, tmp_path / "run", base=runs, sprites=sprites).run()


def test_a_checkpoint_holds_everything_and_no_pickle(runs: Path) -> None:
    folder = runs / "keyframes" / "checkpoints" / "step-2"
    assert {p.suffix for p in folder.iterdir()} == {".safetensors", ".json"}
    weights, averages, optimizer = (read_weights(folder / f"{part}.safetensors") for part in PARTS)
    assert any(name.startswith("text_encoder.") for name in weights) and set(averages) <= set(weights)
    assert {name.rsplit("/", 1)[1] for name in optimizer} == {"exp_avg", "exp_avg_sq", "step"}


def test_a_folder_that_cannot_be_made_is_an_error(config: Config, sprites: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot make"):
        Trainer(config("vae"), tmp_path / "file" / "run", base=tmp_path, sprites=sprites)
