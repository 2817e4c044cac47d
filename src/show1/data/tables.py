"""Plain folders: clips beside .txt or .json captions, or listed in a CSV (WebVid's columns among them) or JSONL."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from show1.data.problems import UnusableError
from show1.data.records import OTHER_ENDINGS, VIDEO_ENDINGS, Record, caption_in
from show1.data.storage import Part, is_remote
from show1.errors import DataError

TABLE_ENDINGS = (".csv", ".jsonl")
TABLE_NAMES = ("metadata.csv", "metadata.jsonl")
"""Tables looked for in a folder."""
FILE_KEYS = ("file_name", "file", "path", "video", "video_path")
"""Columns that hold a clip's path, relative to the table, or its address."""
ADDRESS_KEYS = ("contentUrl", "url")
"""Columns that hold a clip's address, where there is no file."""


def read_folder(folder: Path) -> list[Record]:
    """The clips of a folder and those below it, in the order of their paths, or as its `metadata.csv` or `.jsonl` lists them."""
    for name in TABLE_NAMES:
        if (folder / name).is_file():
            return read_table(folder / name)
    endings = {*VIDEO_ENDINGS, *OTHER_ENDINGS}
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in endings and p.is_file() and not p.name.startswith("."))
    return [Record(p.relative_to(folder).as_posix(), Part(str(p)), _sidecar(p)) for p in sorted(paths)]


def _sidecar(video: Path) -> str | Part:
    for ending in (".txt", ".json"):
        if video.with_suffix(ending).is_file():
            return Part(str(video.with_suffix(ending)))
    return ""


def read_table(path: Path) -> list[Record]:
    """The clips that a CSV or JSONL lists, in its order.

    Raises:
        DataError: unreadable, or no column names a clip.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(_csv_rows(handle) if path.suffix.lower() == ".csv" else _json_rows(handle))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot read the table '{path}': {error}") from error
    return [_record(row, path.parent, f"{path.name}, row {number}") for number, row in enumerate(rows, start=1)]


def _csv_rows(handle: Any) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(handle)
    names = reader.fieldnames or []
    if not set(names) & {*FILE_KEYS, *ADDRESS_KEYS, "videoid"}:
        raise ValueError(
            f"no column names the clips: {', '.join(FILE_KEYS)}, or videoid with page_dir; there are {', '.join(names) or 'none'}"
        )
    yield from reader


def _json_rows(handle: Any) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(handle, start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def _record(row: Mapping[str, Any], folder: Path, where: str) -> Record:
    place = _place(row, folder)
    try:
        text = caption_in(row)
    except UnusableError:
        text = ""
    key = place if is_remote(place) else Path(place).relative_to(folder).as_posix() if Path(place).is_relative_to(folder) else place
    return Record(key or where, Part(place), text)


def _place(row: Mapping[str, Any], folder: Path) -> str:
    """Where a row's clip lies: the file it names, WebVid's `page_dir/videoid.mp4`, or else its address."""
    for key in FILE_KEYS:
        if row.get(key):
            name = str(row[key])
            return name if is_remote(name) else str(folder / name)
    if row.get("videoid"):
        named = Path(str(row.get("page_dir") or "")) / f"{row['videoid']}.mp4"
        for place in (folder / named, folder / "videos" / named):
            if place.is_file():
                return str(place)
    for key in ADDRESS_KEYS:
        if row.get(key):
            return str(row[key])
    return str(folder / named) if row.get("videoid") else ""
