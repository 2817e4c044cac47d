"""Checkpoints of a run: whole or not there, the last few kept, none of them a pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from show1.errors import CheckpointError, DataError, SettingsError
from show1.models.reading import read_json, read_weights
from show1.training.config import TrainConfig

PARTS = ("weights", "averages", "optimizer")
RECORD = "run.json"
PARTIAL = ".partial-"
FREE = {
    "steps",
    "checkpoint_every",
    "keep_checkpoints",
    "sample_every",
    "log_every",
    "log_with",
    "validate_every",
    "validation_clips",
    "validation_bands",
    "accumulate",
    "gradient_checkpointing",
    "compile",
}
"""Keys of a configuration that may change from one start of a run to the next: what is learned does not depend on them (but for rounding)."""


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from."""

    step: int
    """Steps done."""
    tensors: Mapping[str, Mapping[str, Tensor]]
    """PARTS -> tensors by name."""
    record: Mapping[str, Any]
    """All else: the configuration, the position in the data, counts, versions."""


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps of the finished checkpoints, oldest first."""
    names = [p.name for p in folder.glob("step-*") if p.is_dir()]
    return sorted(int(name.removeprefix("step-")) for name in names if name.removeprefix("step-").isdigit())


def last_good(folder: Path) -> str:
    """The last finished checkpoint, in words."""
    steps = checkpoint_steps(folder)
    return f"the last good checkpoint is that of step {steps[-1]} in '{folder}'" if steps else "there is no checkpoint yet"


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write a folder that appears under its name only when it is whole and on the disk; then drop the oldest.

    Raises:
        DataError: it cannot be written (disk full, say); the checkpoints before it stay.
    """
    final = folder / f"step-{checkpoint.step}"
    partial = folder / f"{PARTIAL}{checkpoint.step}"
    try:
        drop_partial(folder)
        if not final.exists():
            _write(partial, checkpoint)
            partial.rename(final)
            _sync(folder)
        for old in checkpoint_steps(folder)[:-keep]:
            shutil.rmtree(folder / f"step-{old}")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"the checkpoint of step {checkpoint.step} could not be written: {reason}; {last_good(folder)}: "
            "make room and start the same command again to go on from there"
        ) from error


def drop_partial(folder: Path) -> None:
    """Remove what a killed run left unfinished."""
    for left in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(left)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(parents=True)
    for part in PARTS:
        save_file(dict(checkpoint.tensors[part]), folder / f"{part}.safetensors")
    (folder / RECORD).write_text(json.dumps({"step": checkpoint.step, **checkpoint.record}, indent=1))
    for path in folder.iterdir():
        _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The last finished checkpoint, or None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    steps = checkpoint_steps(folder)
    if not steps:
        return None
    path = folder / f"step-{steps[-1]}"
    try:
        record = read_json(path / RECORD)
        tensors = {part: read_weights(path / f"{part}.safetensors") for part in PARTS}
    except CheckpointError as error:
        before = f"to go on from step {steps[-2]}" if len(steps) > 1 else "to begin again"
        raise CheckpointError(f"the checkpoint '{path}' cannot be used: {error}. Remove that folder {before}") from error
    return Checkpoint(steps[-1], tensors, record)


def _course(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide what is learned, as JSON has them; those that a run does not name are as usual."""
    data = {**usual["data"], **values.get("data", {}), "workers": usual["data"]["workers"]}
    course = json.loads(json.dumps({**usual, **values, "data": data}))
    return {key: value for key, value in course.items() if key not in FREE}


def check_same_course(before: Mapping[str, Any], now: TrainConfig, folder: Path) -> None:
    """Raise SettingsError where a run would go on with settings under which it would have come another way."""
    usual = TrainConfig(stage=now.stage, steps=1, batch_size=1).to_dict()
    have, wanted = (_course(values, usual) for values in (before, now.to_dict()))
    changed = [f"{key} was {have[key]!r} and is now {value!r}" for key, value in wanted.items() if have[key] != value]
    if changed:
        raise SettingsError(
            f"the run in '{folder}' was begun with other settings: {'; '.join(changed)}. Go on with the settings it began with, "
            "or begin another run in a folder of its own (its [start] can name this one's final weights)"
        )
