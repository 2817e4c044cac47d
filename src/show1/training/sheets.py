"""Sample sheets: fixed clips as they are drawn and as a stage makes them, frame beside frame."""

from __future__ import annotations

from PIL import Image

from show1.training.task import Task
from show1.video import contact_sheet, to_pil

SHEET_CLIPS = 4


def sample_sheet(task: Task) -> Image.Image:
    """Two rows a clip, drawn and made; the clips are the same at every step of a run."""
    drawn, made = task.sample(task.sheet_clips(SHEET_CLIPS))
    return contact_sheet([to_pil(video) for pair in zip(drawn, made, strict=True) for video in pair])
