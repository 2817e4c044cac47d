"""Where the command line keeps runs: beside the video that they make."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from show1.errors import DataError
from show1.runs.folder import MANIFEST
from show1.runs.request import Request, image_name
from show1.runs.run import Run


def place_for(output: Path, request: Request, folder: Path | None = None, image: Image.Image | None = None) -> Run:
    """A run whose video is to be at `output`: `rocket.run` for `rocket.mp4`, unless a folder is named.

    A run of the same request that is there goes on. A finished one of another request gives way, as the video that it
    made does; one that is not finished, or at work, stays, and the new run's folder is numbered (`rocket-2.run`).

    Raises:
        DataError: the folder that was named holds something else, or cannot be written.
    """
    for place in [folder] if folder is not None else numbered(output.with_suffix(".run")):
        asked = replace(request, output=relative(output, place), image=None if image is None else image_name(image))
        if not place.exists():
            return Run.create(place, asked, image)
        try:
            run = Run.open(place)
        except DataError:
            continue
        if run.request == asked:
            return run
        if folder is None and run.state == "finished":
            run.delete()
            return Run.create(place, asked, image)
    raise DataError(f"'{folder}' is there already and is no run of this video; choose another --run, or go on with `show1 resume`")


def find_run(place: Path) -> Path:
    """The folder of a run that is named by its folder, or by its video.

    Raises:
        DataError: neither.
    """
    for folder in (place, place.parent / f"{place.stem}.run"):
        if (folder / MANIFEST).is_file():
            return folder
    raise DataError(f"'{place}' is neither a run's folder nor a video with one beside it")


def numbered(place: Path) -> Iterator[Path]:
    """The place itself, then with a number before its ending: `rocket.run`, `rocket-2.run`, ..."""
    yield place
    yield from (place.with_stem(f"{place.stem}-{number}") for number in itertools.count(2))


def relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder, so that both can be moved together."""
    return os.path.relpath(path.resolve(), folder.resolve())
