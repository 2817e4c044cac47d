"""The manifest's file, and what it records of the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import show1
from show1.errors import DataError
from show1.video import whole_file

FORMAT = 1
LIBRARIES = ("torch", "diffusers", "transformers", "av", "numpy", "pillow")


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest's values.

    Raises:
        DataError: missing, damaged or of a newer format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path.parent}' is not a run's folder: cannot read '{path.name}': {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"'{path}' is not of a format that this version of show1 reads")
    return values


def write_manifest(path: Path, values: Mapping[str, Any]) -> None:
    """Put values in the place of a manifest's, at once and for good.

    Raises:
        DataError: the file cannot be written; the older one stays.
    """
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Versions of show1, Python and the libraries that a result depends on."""
    found = {"show1": show1.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine(device: torch.device) -> dict[str, Any]:
    """Where a run is made."""
    return {"device": str(device), "threads": torch.get_num_threads(), "platform": platform.platform()}
