"""Finished videos as WebDataset shards: for each a .mp4 (or .webm, .gif), a .json and a .txt under one key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from show1.batch.cluster import ClusterError
from show1.video import whole_file

SHARD_VIDEOS, SHARD_BYTES = 1000, 10**9
"""A shard is full at so many videos, or bytes of videos."""


def write_shards(folder: Path, videos: Path, records: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write all shards anew, each whole; those that are left over from a longer batch go.

    Args:
        folder: of the shards.
        videos: of the finished videos.
        records: of the videos, in the order in which they are packed.

    Raises:
        ClusterError: webdataset is not installed.
        DataError: a shard cannot be written.
    """
    try:
        from webdataset import TarWriter
    except ImportError:
        raise ClusterError("shards need webdataset; install it with: pip install 'show1[batch]'") from None
    written = []
    for number, part in enumerate(_parts(records)):
        path = folder / f"{number:06}.tar"
        with whole_file(path) as partial, TarWriter(str(partial), user="show1", group="show1", mtime=0, encoder=False) as writer:
            for record in part:
                about = {name: value for name, value in record.items() if name not in ("key", "machine", "seconds")}
                sample = {
                    "__key__": record["id"],
                    Path(record["file"]).suffix[1:]: (videos / record["file"]).read_bytes(),
                    "json": json.dumps(about, ensure_ascii=False).encode(),
                    "txt": str(record["prompt"]).encode(),
                }
                writer.write(sample)
        written.append(path)
    for path in set(folder.glob("[0-9]*.tar")) - set(written):
        path.unlink()
    return written


def _parts(records: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    part: list[Mapping[str, Any]] = []
    for record in records:
        if part and (len(part) == SHARD_VIDEOS or sum(r["bytes"] for r in part) + record["bytes"] > SHARD_BYTES):
            yield part
            part = []
        part.append(record)
    if part:
        yield part
