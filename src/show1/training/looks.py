"""Looks at a run on the way: the averaged weights' loss on fixed clips, and samples of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator

from show1.training.journal import Journal
from show1.training.processes import is_fsdp, plain_modules, reshard
from show1.training.sheets import make_samples, write_samples
from show1.training.state import RunState
from show1.training.task import Task
from show1.training.validation import Validation, write_validation


class Looks:
    """Measures and draws what the averaged weights make, and leaves the run as it was.

    Args:
        task: what is trained.
        state: holds the averaged weights.
        validation: the fixed clips; None to measure nothing.
        folder: the run's folder.
    """

    def __init__(
        self,
        task: Task,
        state: RunState,
        accelerator: Accelerator,
        validation: Validation | None,
        folder: Path,
    ) -> None:
        self.task = task
        self.state = state
        self.accelerator = accelerator
        self.validation = validation
        self.folder = folder

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in place, and networks as they are when they sample."""
        modules = self.task.modules
        with self.state.averaged():
            for module in modules.values():
                module.eval()
            try:
                yield
            finally:
                self.task.modules = modules
                for module in modules.values():
                    reshard(module)
                    module.train()

    def validate(self, journal: Journal, step: int) -> None:
        """Measure the averaged weights on the fixed clips."""
        if self.validation is None:
            return
        with self._averaged():
            losses = self.validation.measure(self.task)
        if self.accelerator.is_main_process:
            write_validation(self.folder, step, losses)
        journal.log({f"validation/{band}": loss for band, loss in losses.items()}, step)

    @torch.no_grad()
    def write_samples(self, journal: Journal, step: int) -> None:
        """Write `samples/step-N.png` and `.mp4`: fixed clips as drawn and as the averaged weights sample them."""
        if not (self.accelerator.is_main_process or is_fsdp(self.accelerator)):
            return
        with self._averaged():
            self.task.modules = plain_modules(self.accelerator, self.task.modules)
            drawn, made = make_samples(self.task)
        if self.accelerator.is_main_process:
            sheet = write_samples(drawn, made, self.task.fps, self.folder / "samples", step)
            journal.log_picture("samples", sheet, step)
