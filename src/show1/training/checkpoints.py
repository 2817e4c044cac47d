"""Checkpoints of a run: whole or not there, the last two kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

KEPT = 2


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps of the finished checkpoints, oldest first."""
    names = [p.name for p in folder.glob("step-*") if p.is_dir()]
    return sorted(int(name.removeprefix("step-")) for name in names if name.removeprefix("step-").isdigit())


def write_checkpoint(folder: Path, step: int, save: Callable[[Path], object]) -> None:
    """Let `save` write a folder that appears under its name only when it is whole; then drop the oldest."""
    partial = folder / f".partial-{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save(partial)
    final = folder / f"step-{step}"
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in checkpoint_steps(folder)[:-KEPT]:
        shutil.rmtree(folder / f"step-{old}")
