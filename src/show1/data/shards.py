"""WebDataset shards: tar files in which a clip's parts share a name (`0001.mp4`, `0001.txt`, `0001.json`).

A shard's index says where each part begins, so that any clip is read alone, from disk or by a range request. `show1 data prepare` writes
it beside the shard; for other shards it is made by going through the tar's headers, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from show1.data.problems import UnusableError
from show1.data.records import VIDEO_ENDINGS, Record
from show1.data.storage import Part, file_system, is_remote, read_part
from show1.errors import DataError
from show1.video import whole_file

INDEX_ENDING = ".index.json"
CAPTION_ENDINGS = (".txt", ".json")
ARRAY_ENDING = ".npy"

Members = dict[str, tuple[int, int]]
"""Ending (`.mp4`, `.t5.npy`) -> offset and size in bytes."""


def index_place(shard: str) -> str:
    """Where a shard's index lies."""
    return shard + INDEX_ENDING


def read_shard(shard: str) -> list[Record]:
    """The clips of a shard, by its index where there is one.

    Raises:
        DataError: missing, not a tar, or compressed.
    """
    index = _written_index(shard) or _cached_index(shard)
    return [_record(shard, sample) for sample in index["samples"]]


def _record(shard: str, sample: dict[str, Any]) -> Record:
    parts = {ending: Part(shard, *where) for ending, where in sample["parts"].items()}
    video = next((parts[ending] for ending in VIDEO_ENDINGS if ending in parts), Part(""))
    text: str | Part = sample.get("caption", "")
    if not text:
        text = next((parts[ending] for ending in CAPTION_ENDINGS if ending in parts), "")
    arrays = {ending[1 : -len(ARRAY_ENDING)]: part for ending, part in parts.items() if ending.endswith(ARRAY_ENDING)}
    facts = {name: sample[name] for name in ("width", "height", "seconds") if name in sample}
    return Record(f"{Path(shard).name}/{sample['key']}", video, text, **facts, arrays=arrays)


def _written_index(shard: str) -> dict[str, Any] | None:
    place = index_place(shard)
    if not is_remote(place) and not Path(place).is_file():
        return None
    try:
        return _checked(json.loads(read_part(Part(place))), place)
    except UnusableError:  # an address without an index
        return None
    except ValueError as error:
        raise DataError(f"the index '{place}' is damaged: {error}; delete it and it is made again") from error


def _checked(index: Any, place: str) -> dict[str, Any]:
    if not isinstance(index, dict) or not isinstance(index.get("samples"), list):
        raise ValueError(f"'{place}' lists no samples")
    return index


def _cached_index(shard: str) -> dict[str, Any]:
    """The index of a foreign shard, kept in the user's cache folder for the next time."""
    stamp = "|".join(str(part) for part in _stamp(shard))
    path = cache_folder() / f"{hashlib.sha256(stamp.encode()).hexdigest()[:32]}{INDEX_ENDING}"
    try:
        return _checked(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError):
        index = {"shard": shard, "samples": list(scan_shard(shard))}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(index), encoding="utf-8")
    return index


def cache_folder() -> Path:
    """Where indexes of foreign shards are kept: `SHOW1_CACHE`, or `show1` in the user's cache folder."""
    base = os.environ.get("SHOW1_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "show1"


def _stamp(shard: str) -> tuple[object, ...]:
    """What changes when a shard does."""
    try:
        if is_remote(shard):
            system, address = file_system(shard)
            facts = system.info(address)
            return shard, facts.get("size"), facts.get("ETag"), facts.get("LastModified")
        path = Path(shard).resolve()
        return path, path.stat().st_size, path.stat().st_mtime_ns
    except DataError:
        raise
    except Exception as error:  # every file system has its own errors
        raise DataError(f"cannot read the shard '{shard}': {getattr(error, 'strerror', None) or error}") from error


def scan_shard(shard: str) -> Iterator[dict[str, Any]]:
    """Samples of a tar (`key`, `parts`), in its order, found by reading its headers only.

    Raises:
        DataError: missing, not a tar, compressed, or cut off.
    """
    import fsspec

    try:
        with fsspec.open(shard, "rb").open() as handle, tarfile.open(fileobj=handle, mode="r:") as tar:
            yield from _samples(tar)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(
            f"'{shard}' is no tar file that can be read ({error}); compressed shards must be unpacked with gunzip first"
        ) from error


def _samples(tar: tarfile.TarFile) -> Iterator[dict[str, Any]]:
    key, parts = "", Members()
    for member in tar:
        if not member.isfile():
            continue
        folder, _, name = member.name.rpartition("/")
        stem, dot, ending = name.partition(".")
        if not stem:
            continue
        here = f"{folder}/{stem}" if folder else stem
        if here != key and parts:
            yield {"key": key, "parts": parts}
            parts = Members()
        key = here
        parts[(dot + ending).lower()] = (member.offset_data, member.size)
    if parts:
        yield {"key": key, "parts": parts}
