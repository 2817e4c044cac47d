"""What becomes of freed memory."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from show1.allocator import kept_freed_memory

PIECE, PIECES = 16 * 2**20, 16


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="glibc only")
def test_freed_memory_is_kept_in_the_block_and_given_back_after_it() -> None:
    before = resident()
    with kept_freed_memory():
        for _ in range(5):  # the same memory each time
            pieces = [torch.ones(PIECE // 4) for _ in range(PIECES)]
            taken = resident() - before
            del pieces
            assert 0.9 * PIECE * PIECES < resident() - before < 1.2 * PIECE * PIECES
            assert resident() - before > 0.9 * taken
    assert resident() - before < 0.2 * PIECE * PIECES


def test_an_error_in_the_block_comes_out() -> None:
    with pytest.raises(ValueError, match="as it was"), kept_freed_memory():
        raise ValueError("as it was")
