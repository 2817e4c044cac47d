"""The README's picture: four prompts at all four stages, seeds 0 to 3. Run: python benchmarks/sheet.py docs/sheet.png"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from show1 import Show1Pipeline
from show1.video import contact_sheet, to_pil

PROMPTS = (
    "a rocket flies over the ocean at night",
    "two butterflies rise over the meadow",
    "a turtle moves left across the desert",
    "a car goes away through the city",
)
COLUMNS = 4
CELL = (230, 128)


def stage_row(video: object) -> list[Image.Image]:
    """Frames from the first to the last of one video [3, F, H, W], all of one size."""
    pictures = to_pil(video)  # type: ignore[arg-type]
    chosen = [pictures[round(i * (len(pictures) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
    return [p.resize(CELL, Image.Resampling.NEAREST if p.width < CELL[0] else Image.Resampling.LANCZOS) for p in chosen]


def main(path: Path) -> None:
    """Make the sheet: two prompts side by side, a stage a row."""
    pipeline = Show1Pipeline.from_pretrained()
    blocks = []
    for seed, prompt in enumerate(PROMPTS):
        stages = pipeline(prompt, seed=seed, output_type="pt").stages()
        blocks.append([stage_row(video[0]) for video in stages.values()])
    rows = [left + right for pair in (blocks[:2], blocks[2:]) for left, right in zip(*pair, strict=True)]
    contact_sheet(rows).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/sheet.png"))
