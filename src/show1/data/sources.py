"""What a `source` names -> its clips, listed but not read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from show1.data.problems import UnusableError
from show1.data.records import Record
from show1.data.shards import read_shard
from show1.data.storage import Part, expand, is_remote, read_part
from show1.data.tables import TABLE_ENDINGS, read_folder, read_table
from show1.errors import DataError

SHARD_ENDINGS = (".tar",)
SUMMARY = "dataset.json"
"""What `show1 data prepare` writes beside its shards when all are done."""


@dataclass(frozen=True)
class Listing:
    """A source's clips in its own order."""

    source: str
    records: list[Record]
    summary: dict[str, Any] = field(default_factory=dict)
    """What a prepared set says of itself; empty for others."""

    def beside(self, name: str) -> Part:
        """A file of a prepared set, beside its shards."""
        folder = self.source if not is_remote(self.source) and Path(self.source).is_dir() else self.source.rpartition("/")[0] or "."
        return Part(f"{folder.rstrip('/')}/{name}")


def open_source(source: str) -> Listing:
    """List the clips of shards (a path, a folder of them, a pattern with braces or `*`, addresses), a prepared set, a table or a folder.

    Raises:
        DataError: nothing there, or nothing of a known kind.
    """
    summary = _summary(source)
    if source.endswith(f"/{SUMMARY}"):
        listing = Listing(source, [])
        records = [record for name in summary.get("shards", ()) for record in read_shard(listing.beside(name).place)]
    elif not is_remote(source) and Path(source).suffix.lower() in TABLE_ENDINGS:
        records = read_table(Path(source))
    else:
        shards = [place for place in expand(source, SHARD_ENDINGS) if place.endswith(SHARD_ENDINGS)]
        if shards:
            records = [record for shard in shards for record in read_shard(shard)]
        elif Path(source).is_dir():
            records = read_folder(Path(source))
        else:
            raise DataError(f"no training data in '{source}': give .tar shards, a .csv or .jsonl, or a folder of .mp4 and .webm clips")
    if not records:
        raise DataError(f"'{source}' lists no clips")
    return Listing(source, records, summary)


def _summary(source: str) -> dict[str, Any]:
    """The summary of a prepared set."""
    place = Listing(source, []).beside(SUMMARY)
    try:
        values = json.loads(read_part(place))
    except (UnusableError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
