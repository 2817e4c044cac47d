"""Chance by hashing: numbers that depend on a seed and a purpose only, in any order, without global state."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LOW_32_BITS = 0xFFFFFFFF


def hash_words(*words: str | int) -> int:
    """A 64-bit number from words, the same on every machine and in every Python."""
    digest = hashlib.sha256("|".join(str(word) for word in words).encode()).digest()
    return int.from_bytes(digest[:8], "big")


class Chance:
    """Uniform numbers for a batch of seeds: row b depends on seeds[b] and the purpose alone."""

    def __init__(self, seeds: Sequence[int]) -> None:
        wide = np.array([seed & 0x7FFFFFFFFFFFFFFF for seed in seeds], dtype=np.uint64)
        low, high = (part.astype(np.uint32) for part in (wide & np.uint64(_LOW_32_BITS), wide >> np.uint64(32)))
        self._keys = low * np.uint32(0x9E3779B1) + high * np.uint32(0x85EBCA77)

    def uniform(self, purpose: str, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 [batch, count] in [low, high)."""
        keys = _mix(self._keys + np.uint32(hash_words(purpose) & _LOW_32_BITS))
        bits = _mix(keys[:, None] + np.arange(count, dtype=np.uint32) * np.uint32(0x27D4EB2F))
        return torch.from_numpy((bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24 * (high - low)) + np.float32(low))

    def pick(self, rows: Tensor) -> "Chance":
        """The chance of some rows of the batch."""
        chosen = Chance([])
        chosen._keys = self._keys[rows.numpy()]
        return chosen


def _mix(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A well-mixing bijection of 32-bit numbers (lowbias32, by Chris Wellons); products wrap around."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
    return bits ^ (bits >> np.uint32(16))
