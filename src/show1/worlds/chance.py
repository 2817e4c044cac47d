"""Chance by hashing: numbers that depend on a seed and a purpose only, in any order, without global state."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

_LOW_32_BITS = 0xFFFFFFFF


def hash_words(*words: str | int) -> int:
    """A 64-bit number from words, the same on every machine and in every Python."""
    digest = hashlib.sha256("|".join(str(word) for word in words).encode()).digest()
    return int.from_bytes(digest[:8], "big")


class Chance:
    """Uniform numbers for a batch of seeds: row b depends on seeds[b] and the purpose alone."""

    def __init__(self, seeds: Sequence[int]) -> None:
        wrapped = [seed & 0x7FFFFFFFFFFFFFFF for seed in seeds]
        self._seeds = torch.tensor(wrapped, dtype=torch.int64)

    def uniform(self, purpose: str, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 [batch, count] in [low, high)."""
        start = hash_words(purpose) & _LOW_32_BITS
        keys = (self._seeds & _LOW_32_BITS) * 0x9E3779B1 + (self._seeds >> 32) * 0x85EBCA77 + start
        keys = _mix(keys & _LOW_32_BITS)
        bits = _mix((keys[:, None] + torch.arange(count) * 0x27D4EB2F) & _LOW_32_BITS)
        return (bits >> 8).float() * (2.0**-24 * (high - low)) + low

    def pick(self, rows: Tensor) -> "Chance":
        """The chance of some rows of the batch."""
        chosen = Chance([])
        chosen._seeds = self._seeds[rows]
        return chosen


def _mix(bits: Tensor) -> Tensor:
    """A well-mixing bijection of 32-bit numbers held in int64 (lowbias32, by Chris Wellons)."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = bits ^ (bits >> shift)
        bits = (bits * factor) & _LOW_32_BITS
    return bits ^ (bits >> 16)
