"""A job: one video that was asked for, and how far it is."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from dataclasses import dataclass, field
from typing import Any

QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED = "queued", "in_progress", "completed", "failed", "cancelled"
OPEN = (QUEUED, RUNNING)
STATES = (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED)

_ID = re.compile(r"video_[0-9a-f]{32}")


def new_id() -> str:
    """An id that nobody can guess and that is safe as a file's name."""
    return f"video_{secrets.token_hex(16)}"


def is_id(text: str) -> bool:
    """Whether this can be a job's id at all; anything else never reaches a file's name."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for, checked: all that is needed to make the same video again."""

    model: str
    """Name of the model, as `/v1/models` lists it."""
    prompt: str
    seed: int
    negative_prompt: str | None = None
    stop_after: str = "latent"
    steps: int | dict[str, int] | None = None
    guidance: float | dict[str, float] | None = None
    size: str = ""
    """Width x height of the finished video."""
    frames: int = 0
    fps: float = 0.0
    whole_frames: int | None = None
    """Frames of the video after all stages, where it is to be longer or shorter than the model's own."""
    picture: bool = False
    """Whether a first frame is given; the store has it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """An order and its state, as the store has it."""

    id: str
    owner: str
    """Name of the key that made it; empty where none was needed."""
    order: Order
    state: str
    created_at: float
    started_at: float | None = None
    """When a worker first took it up; times are seconds since 1970."""
    completed_at: float | None = None
    """When it ended, in whichever way."""
    progress: float = 0.0
    """0 to 1, by cost."""
    stage: str | None = None
    """The stage at work."""
    stages: tuple[str, ...] = field(default=())
    """Finished stages, in order."""
    error_code: str | None = None
    error_message: str | None = None
    stop_wanted: bool = False
    """Someone cancelled or deleted it while it ran."""
    deleted: bool = False
    """Nobody can see it any more; its worker removes it."""
    crashes: int = 0
    """How often a worker died over it while its server lived."""

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Job:
        """From a row of the table `jobs`."""
        values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
        flags = {name: bool(row[name]) for name in ("stop_wanted", "deleted")}
        stages = tuple(json.loads(row["stages"]))
        return cls(order=Order(**json.loads(row["wanted"])), **{**values, **flags, "stages": stages})


_COLUMNS = {name for name in Job.__dataclass_fields__ if name not in ("order", "stages", "stop_wanted", "deleted")}
