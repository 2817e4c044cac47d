"""Many seeds of one prompt as keyframes alone, to choose from: a run for each seed, and one sheet of all.

explore.json        the prompt and the seeds
contact-sheet.png   a row of keyframes for each seed
seed-7/             the run of seed 7, which goes on to full size when it is chosen
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from show1.errors import DataError, SettingsError
from show1.runs.manifest import FORMAT, read_manifest, write_manifest
from show1.runs.places import numbered
from show1.runs.request import Request
from show1.runs.run import Run
from show1.video import whole_file

LIST, SHEET = "explore.json", "contact-sheet.png"
COLUMNS, CELL_WIDTH, LABEL, GAP = 8, 128, 14, 4


def open_exploration(folder: Path, request: Request) -> Path:
    """The folder for an exploration: the one named where it is new or holds the same, else a numbered one beside it."""
    wanted = {**request.to_dict(), "seed": None}
    for place in numbered(folder):
        if not place.exists() or (place.is_dir() and not any(place.iterdir())):
            write_manifest(place / LIST, {"format": FORMAT, "request": wanted, "seeds": []})
            return place
        if (place / LIST).is_file() and read_manifest(place / LIST)["request"] == wanted:
            return place
    raise AssertionError


def explore(folder: Path, request: Request, pipeline: Any, seeds: list[int], on_seed: Callable[[int], object] | None = None) -> Path:
    """Make the keyframes of every seed, each exactly as a run of that seed alone would; those that are there are kept.

    Args:
        folder: from `open_exploration`.
        request: what is asked; its seed does not matter.
        on_seed: called with each seed when its keyframes are finished.

    Returns:
        The contact sheet.
    """
    texts: dict[str, torch.Tensor] = {}
    for seed in seeds:
        run = _run_of(folder, replace(request, seed=seed, stop_after="keyframes"))
        if "keyframes" not in run.finished:
            run.advance(pipeline, texts=texts)
        known = read_manifest(folder / LIST)
        write_manifest(folder / LIST, {**known, "seeds": sorted({*known["seeds"], seed})})
        if on_seed is not None:
            on_seed(seed)
    return write_sheet(folder)


def chosen_run(folder: Path, seed: int | None) -> Run:
    """The run of one seed of an exploration.

    Raises:
        SettingsError: no seed, or one that is not there; the seeds are named.
    """
    seeds = read_manifest(folder / LIST)["seeds"]
    if seed not in seeds:
        said = "choose a seed with --seed" if seed is None else f"seed {seed} was not explored"
        raise SettingsError(f"{said}; in '{folder}' there are: {', '.join(map(str, seeds)) or 'none'}")
    return Run.open(folder / f"seed-{seed}")


def write_sheet(folder: Path) -> Path:
    """A picture of all seeds that are finished: a row for each, the seed above its keyframes."""
    rows = [(seed, Run.open(folder / f"seed-{seed}").pictures("keyframes")) for seed in read_manifest(folder / LIST)["seeds"]]
    if not rows:
        raise DataError(f"there are no keyframes in '{folder}' yet")
    frames, height, width = rows[0][1].shape[:3]
    cell = (CELL_WIDTH, max(1, round(CELL_WIDTH * height / width)))
    shown = [round(i * (frames - 1) / max(1, min(COLUMNS, frames) - 1)) for i in range(min(COLUMNS, frames))]
    row_height = LABEL + cell[1] + GAP
    sheet = Image.new("RGB", (len(shown) * (cell[0] + GAP) - GAP, len(rows) * row_height - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (seed, pictures) in enumerate(rows):
        draw.text((1, y * row_height), f"seed {seed}", fill="black")
        for x, frame in enumerate(shown):
            picture = Image.fromarray(pictures[frame].numpy()).resize(cell, Image.Resampling.BICUBIC)
            sheet.paste(picture, (x * (cell[0] + GAP), y * row_height + LABEL))
    with whole_file(folder / SHEET) as partial:
        sheet.save(partial)
    return folder / SHEET


def _run_of(folder: Path, request: Request) -> Run:
    place = folder / f"seed-{request.seed}"
    return Run.open(place) if place.exists() else Run.create(place, request)
