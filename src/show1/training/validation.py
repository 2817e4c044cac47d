"""The loss on a fixed set of clips with fixed noise and timesteps, band by band of the timesteps."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.config import TrainConfig
from show1.training.journal import line_file
from show1.training.task import Task

FIRST_SEED = 1 << 61
"""Seed of the first clip: training does not come to it."""


class Validation:
    """Measures a task's losses every time on the same clips.

    Args:
        config: how many clips and bands.
        part: clips that go through the network at once.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator, part: int) -> None:
        processes = accelerator.num_processes
        if config.validation_clips % processes:
            raise SettingsError(f"validation_clips is {config.validation_clips}; use a multiple of the {processes} processes")
        self.config = config
        self.accelerator = accelerator
        self.part = part

    @torch.no_grad()
    def measure(self, task: Task) -> dict[str, float]:
        """Mean loss by band, e.g. `0-249`; `all` where a task has no timesteps."""
        share = self.config.validation_clips // self.accelerator.num_processes
        start = self.accelerator.process_index * share
        sums: dict[str, torch.Tensor] = {}
        for first in range(start, start + share, self.part):
            count = min(self.part, start + share - first)
            for band, losses in self._losses(task, first, count).items():
                sums[band] = sums.get(band, torch.zeros(())) + losses.double().cpu().sum()
        names = list(sums)
        means = torch.stack([sums[name] for name in names]).to(self.accelerator.device, torch.float32) / share
        return dict(zip(names, self.accelerator.reduce(means, "mean").tolist(), strict=True))

    def _losses(self, task: Task, first: int, count: int) -> dict[str, torch.Tensor]:
        seeds = [FIRST_SEED + index for index in range(first, first + count)]

        def chance() -> Chance:
            return Chance(seeds, first=first, batch=self.config.validation_clips, batch_seed=FIRST_SEED)

        bands = task.timestep_bands(self.config.validation_bands)
        if not bands:
            return {"all": task.loss(chance()) * count}
        return {f"{low}-{high - 1}": task.losses(chance(), self._timesteps(low, high, first, count), dropout=0.0) for low, high in bands}

    def _timesteps(self, low: int, high: int, first: int, count: int) -> torch.Tensor:
        """Timesteps [count], spread evenly over a band by the clips of the whole set."""
        places = (torch.arange(first, first + count) + 0.5) / self.config.validation_clips
        return (low + places * (high - low)).long()


def write_validation(folder: Path, step: int, losses: dict[str, float]) -> None:
    """Add a line to the run's `validation.csv`."""
    with line_file(folder / "validation.csv", ["step", *losses], step - 1) as lines:
        lines.writerow([step, *(f"{value:.9g}" for value in losses.values())])


def last_validation(folder: Path) -> dict[str, float]:
    """The last line of a run's `validation.csv` by band; empty where there is none."""
    path = folder / "validation.csv"
    lines = path.read_text().splitlines() if path.is_file() else []
    if len(lines) < 2:
        return {}
    names, values = lines[0].split(","), lines[-1].split(",")
    return {name: float(value) for name, value in zip(names[1:], values[1:], strict=True)}
