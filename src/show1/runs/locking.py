"""One at work on a run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from show1.errors import DataError, Show1Error

LOCK = ".lock"
LOCK_SECONDS = 1.0
"""How long to wait for a lock: somebody may only be looking whether the run is at work."""


class RunBusyError(Show1Error):
    """Another process, or another part of this one, is at work on the run."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one at work in a folder. The operating system frees it when the process ends, however it ends.

    Raises:
        RunBusyError: somebody else is.
        DataError: the folder cannot be written.
    """
    held = FileLock(folder / LOCK)
    try:
        held.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise RunBusyError(f"another process is at work on '{folder}'") from None
    except OSError as error:
        raise DataError(f"cannot write in '{folder}': {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()


def is_locked(folder: Path) -> bool:
    """Whether somebody is at work in a folder."""
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written: nobody works on it
        return False
