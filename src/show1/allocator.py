"""What is done with freed memory: given back to the system, or kept for the next tensors. In main memory only glibc listens."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_returning = False
"""Whether this process has promised to give memory back."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
LARGE = 2**20
LARGEST_KEPT = 2**30, 2**25
"""Sizes from which blocks are always given back, the best first. The last is all that older versions of glibc take for M_MMAP_THRESHOLD, and what any
raises it to by itself as blocks are freed."""


def without_gaps() -> None:
    """Have a GPU's tensors of any size fit into what others left: torch keeps blocks for sizes it met, and a run has many.

    For a process that has not used a GPU yet; what its user sets stays.
    """
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def return_freed_memory() -> None:
    """From now on every large tensor gives its memory back to the system as soon as it is freed, inside `kept_freed_memory` too.

    glibc otherwise keeps freed blocks of up to 32 MiB for itself, in pieces that the next tensors may not fit into.
    """
    global _returning
    _returning = True
    if not _set({M_MMAP_THRESHOLD: LARGE}):
        logger.info("this C library keeps freed memory; peaks may be higher than planned")


@contextmanager
def kept_freed_memory() -> Iterator[None]:
    """Keep freed memory inside the block, in pieces of up to 1 GiB: networks take the same pieces at every call, and the system would clear each page anew.

    Does nothing in a process that gives its memory back.
    """
    if _returning:
        yield
        return
    usual = LARGEST_KEPT[-1]
    for size in LARGEST_KEPT:
        if _set({M_MMAP_THRESHOLD: size, M_TRIM_THRESHOLD: -1}):
            break
    try:
        yield
    finally:
        if _set({M_MMAP_THRESHOLD: usual, M_TRIM_THRESHOLD: 2 * usual}):  # what glibc itself puts beside it
            ctypes.CDLL(None).malloc_trim(0)


def _set(options: dict[int, int]) -> bool:
    """Whether the C library took them."""
    try:
        library = ctypes.CDLL(None)
        return all(library.mallopt(option, value) for option, value in options.items())
    except (AttributeError, OSError, TypeError):
        return False
