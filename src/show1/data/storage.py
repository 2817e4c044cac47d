"""Bytes from files, pieces of files, and addresses (http, https, hf, s3, ...), the latter through fsspec."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from show1.data.problems import UnusableError
from show1.errors import DataError

TRIES = 5
"""Times an address is asked before a run gives up."""
REFUSED = (403, 404, 410)
"""HTTP's answers for what is not there, or not for everyone (stores of objects do not tell the two apart)."""


def is_remote(place: str) -> bool:
    """Whether a place is an address rather than a path."""
    return re.match(r"[a-z][a-z0-9+]+://", place) is not None


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a piece of one (a member of a shard), in bytes."""

    place: str
    offset: int = 0
    size: int | None = None
    """None for the whole file."""


def file_system(place: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the address as it wants it.

    Raises:
        DataError: no such protocol, or a package for it is missing.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise DataError(f"cannot read '{place}': {error}") from error


def read_part(part: Part) -> bytes:
    """The bytes of a part.

    Raises:
        UnusableError: it is missing, or shorter than it should be.
        DataError: an address does not answer: that is no fault of the clip, and another try may go well.
    """
    data = _read_remote(part) if is_remote(part.place) else _read_local(part)
    if part.size is not None and len(data) != part.size:
        raise UnusableError("unreadable", f"'{part.place}' ends early")
    return data


def _read_local(part: Part) -> bytes:
    try:
        with Path(part.place).open("rb") as handle:
            handle.seek(part.offset)
            return handle.read(-1 if part.size is None else part.size)
    except FileNotFoundError as error:
        raise UnusableError("missing", f"there is no '{part.place}'") from error
    except OSError as error:
        raise UnusableError("unreadable", f"'{part.place}': {error.strerror or error}") from error


def _read_remote(part: Part) -> bytes:
    system, address = file_system(part.place)
    end = None if part.size is None else part.offset + part.size
    for attempt in range(TRIES):
        try:
            return bytes(system.cat_file(address, start=part.offset or None, end=end))
        except Exception as error:  # every file system has its own errors
            if isinstance(error, FileNotFoundError) or getattr(error, "status", None) in REFUSED:
                raise UnusableError("missing", f"there is no '{part.place}'") from error
            if attempt + 1 == TRIES:
                raise DataError(f"'{part.place}' cannot be read ({TRIES} tries): {error or type(error).__name__}") from error
        time.sleep(2**attempt / 4)
    raise AssertionError("the last try returns or raises")


def expand(source: str, endings: Iterable[str]) -> list[str]:
    """Places a source names: braces (`{000..007}`, `{a,b}`), `*` and `?`, or a folder's files with one of the endings, sorted.

    Raises:
        DataError: malformed braces.
    """
    from braceexpand import braceexpand

    try:
        places = list(braceexpand(source))
    except ValueError as error:
        raise DataError(f"the braces in '{source}' are not balanced") from error
    return [found for place in places for found in _matches(place, tuple(endings))]


def _matches(place: str, endings: tuple[str, ...]) -> list[str]:
    if is_remote(place):
        return [place]
    path = Path(place)
    if path.is_dir():
        return sorted(str(p) for p in path.iterdir() if p.suffix.lower() in endings and p.is_file() and not p.name.startswith("."))
    if not path.exists() and set("*?[") & set(path.name):
        return sorted(str(p) for p in path.parent.glob(path.name))
    return [place]
