"""Samples: fixed clips as they are drawn and as a stage makes them, frame beside frame and as a video."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from show1.training.task import Task
from show1.video import contact_sheet, to_pil, whole_file, write_video

SHEET_CLIPS = 4


def make_samples(task: Task) -> tuple[Tensor, Tensor]:
    """Clips as drawn and as made, both [B, 3, F, H, W]; the same clips and noise at every step of a run."""
    return task.sample(task.sheet_clips(SHEET_CLIPS))


def sample_sheet(drawn: Tensor, made: Tensor) -> Image.Image:
    """Two rows a clip, drawn and made."""
    return contact_sheet([to_pil(video) for pair in zip(drawn, made, strict=True) for video in pair])


def write_samples(drawn: Tensor, made: Tensor, fps: float, folder: Path, step: int) -> Image.Image:
    """Write `step-N.png`, and for clips of several frames `step-N.mp4`: drawn above made, clip beside clip. Returns the sheet."""
    sheet = sample_sheet(drawn, made)
    with whole_file(folder / f"step-{step}.png") as partial:
        sheet.save(partial)
    if made.shape[2] > 1:
        pairs = torch.cat([drawn.cpu().float(), made.cpu().float()], dim=-2)
        write_video(torch.cat(list(pairs), dim=-1), folder / f"step-{step}.mp4", fps)
    return sheet
