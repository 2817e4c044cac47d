"""Which network made what was computed ahead: told by its files, without reading gigabytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from show1.errors import SettingsError
from show1.models.loading import weight_files

READ = 1 << 20
"""Bytes read at the beginning and the end of each file of weights."""


def maker_mark(folder: Path) -> str:
    """A mark of the network in a folder: of its config and of the sizes, beginnings and ends of its weights.

    Raises:
        CheckpointError: no weights there.
    """
    digest = hashlib.sha256()
    for path in (folder / "config.json", *weight_files(folder, None)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as handle:
            digest.update(handle.read(READ))
            handle.seek(max(0, size - READ))
            digest.update(handle.read(READ))
    return digest.hexdigest()[:32]


def check_maker(made: Mapping[str, Any], folder: Path | None, name: str) -> None:
    """Raise SettingsError unless the network in `folder`, called `name` in [start], is the one that made what was computed ahead."""
    if folder is not None and made.get("maker") != maker_mark(folder):
        raise SettingsError(
            f"the training data was prepared with another {name} than '{folder}'; prepare it again with this one, "
            "or leave out what was computed ahead"
        )
