"""What a run says while it goes: losses.csv, a progress bar, and trackers such as TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm import tqdm

from show1.errors import SettingsError
from show1.training.config import TrainConfig

PROJECT = "show1"
LAST = 100
"""Steps that a run's final loss is the mean of."""


def check_trackers(names: tuple[str, ...]) -> None:
    """Raise SettingsError for a tracker whose package is missing."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            extra = "train" if name == "tensorboard" else name
            raise SettingsError(f"log_with names {name}, which is not installed: pip install 'show1[{extra}]', or leave it out of log_with")


@contextmanager
def line_file(path: Path, header: list[str], step: int) -> Iterator[Any]:
    """A CSV file whose lines begin with a step, cut back to the step that the run goes on from.

    Lines are written one by one, so that a killed run keeps them.
    """
    lines = path.read_text().splitlines()[1:] if path.is_file() else []
    kept = [line for line in lines if line.split(",")[0].isdigit() and int(line.split(",")[0]) <= step]
    kept = [line for line in kept if line.count(",") == len(header) - 1]  # a kill can cut the last one short
    fresh = path.with_name(f".{path.name}")
    fresh.write_text("\n".join([",".join(header), *kept]) + "\n")
    fresh.replace(path)
    with path.open("a", newline="", buffering=1) as handle:
        yield csv.writer(handle, lineterminator="\n")


class Journal:
    """Keeps a run's losses and shows how it goes. Only the main process writes."""

    def __init__(self, config: TrainConfig, folder: Path, accelerator: Accelerator, step: int) -> None:
        self.config = config
        self.accelerator = accelerator
        self.path = folder / "losses.csv"
        self.step = step
        self.total, self.lines = 0.0, 0
        self.since = time.perf_counter()

    @contextmanager
    def open(self) -> Iterator[Journal]:
        """Open the file and the bar for as long as the run goes."""
        main = self.accelerator.is_main_process
        path = self.path if main else Path(os.devnull)
        bar = tqdm(total=self.config.steps, initial=self.step, desc=self.config.stage, disable=not main)
        with _no_file() if not main else line_file(path, ["step", "loss"], self.step) as self.losses, bar as self.bar:
            yield self

    def note(self, step: int, loss: float, rate: float, measures: Mapping[str, float]) -> None:
        """One step's loss; every `log_every` steps their mean, and the clips a second, go to the bar and the trackers.

        `measures`: other numbers for the trackers.
        """
        self.total, self.lines = self.total + loss, self.lines + 1
        self.losses.writerow([step, f"{loss:.9g}"])  # nine digits tell one float32 from any other
        self.bar.update()
        if step % self.config.log_every == 0:
            now = time.perf_counter()
            speed = self.lines * self.config.batch_size / max(now - self.since, 1e-9)
            self.bar.set_postfix(loss=f"{self.total / self.lines:.4f}", clips_s=f"{speed:.1f}")
            self.accelerator.log({"loss": self.total / self.lines, "rate": rate, "clips_per_second": speed, **measures}, step=step)
            self.total, self.lines, self.since = 0.0, 0, now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that does not count as training: checkpoints, samples, validation."""
        started = time.perf_counter()
        yield
        self.since += time.perf_counter() - started

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers for the trackers."""
        self.accelerator.log(dict(values), step=step)

    def log_picture(self, name: str, picture: Image.Image, step: int) -> None:
        """A picture for the trackers."""
        array = np.asarray(picture)[None]
        for tracker in self.accelerator.trackers:
            options = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({name: array}, step=step, **options)


class _Nowhere:
    def writerow(self, row: list[Any]) -> None:
        """Other processes write nothing."""


@contextmanager
def _no_file() -> Iterator[_Nowhere]:
    yield _Nowhere()


def start_trackers(config: TrainConfig, folder: Path, accelerator: Accelerator) -> None:
    """Open the trackers that the configuration names; Weights & Biases is told the configuration and goes on with a run of the same folder."""
    if not config.log_with:
        return
    name = f"{folder.resolve().parent.name}-{folder.resolve().name}"
    wandb = {"name": folder.name, "id": name, "resume": "allow", "dir": str(folder / "logs"), "config": config.to_dict()}
    accelerator.init_trackers(PROJECT, init_kwargs={"wandb": wandb} if "wandb" in config.log_with else {})


def last_losses(folder: Path) -> float | None:
    """The mean of the last losses in a run's folder."""
    path = folder / "losses.csv"
    lines = path.read_text().splitlines()[1:] if path.is_file() else []
    losses = [float(line.split(",")[1]) for line in lines[-LAST:]]
    return sum(losses) / len(losses) if losses else None
