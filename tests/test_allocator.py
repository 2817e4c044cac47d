"""What becomes of freed memory."""

import ctypes
import os
import subprocess
import sys

import pytest

from show1.allocator import kept_freed_memory, without_gaps

MEASURE = """
from pathlib import Path

from show1.allocator import kept_freed_memory

PIECE, PIECES = 16 * 2**20, 16


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


before = resident()
with kept_freed_memory():
    for _ in range(5):  # the same memory each time
        pieces = [bytearray(b"1") * PIECE for _ in range(PIECES)]
        taken = resident() - before
        del pieces
        assert 0.9 * PIECE * PIECES < resident() - before < 1.2 * PIECE * PIECES
        assert resident() - before > 0.9 * taken
assert resident() - before < 0.2 * PIECE * PIECES
"""
"""For a process of its own, whose memory no other test has filled; in plain blocks, since gaps between aligned tensors fill up over some rounds only."""

GIVEN_BACK = """
from show1.allocator import return_freed_memory

return_freed_memory()
with kept_freed_memory():
    pieces = [bytearray(b"1") * PIECE for _ in range(PIECES)]
    del pieces
    assert resident() - before < 0.2 * PIECE * PIECES
"""
glibc = pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="glibc only")


@glibc
def test_freed_memory_is_kept_in_the_block_and_given_back_after_it() -> None:
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@glibc
def test_a_process_that_gives_memory_back_does_so_in_the_block_too() -> None:
    start = MEASURE[: MEASURE.index("with kept_freed_memory")]
    result = subprocess.run([sys.executable, "-c", start + GIVEN_BACK], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_an_error_in_the_block_comes_out() -> None:
    with pytest.raises(ValueError, match="as it was"), kept_freed_memory():
        raise ValueError("as it was")


def test_a_users_own_setting_of_torchs_allocator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "PYTORCH_CUDA_ALLOC_CONF"
    monkeypatch.setenv(name, "backend:cudaMallocAsync")
    without_gaps()
    assert os.environ[name] == "backend:cudaMallocAsync"
    monkeypatch.delenv(name)
    without_gaps()
    assert os.environ[name] == "expandable_segments:True"
