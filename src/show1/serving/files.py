"""What is where in a job's folder, which is a run's folder with two pictures more."""

from __future__ import annotations

from pathlib import Path

THUMBNAIL, SPRITESHEET = "thumbnail.webp", "spritesheet.jpg"
VARIANTS = {
    "video": ("video.mp4", "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/webp"),
    "spritesheet": (SPRITESHEET, "image/jpeg"),
}
"""What OpenAI's `download_content` knows: file and media type."""


def preview_file(folder: Path, stage: str) -> Path:
    """The video of a finished stage."""
    return folder / f"preview-{stage}.mp4"
