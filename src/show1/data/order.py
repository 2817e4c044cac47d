"""The order in which clips are seen: a pure function of a seed and a position, so that a run goes on anywhere without reading on to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from show1.worlds.chance import hash_words

ROUNDS = 4
TURN = 100
"""Groups after which each bucket has had its share; a bucket has one of them at least."""


def shuffled(position: int, count: int, *key: str | int) -> int:
    """Where a shuffle of 0..count-1 puts `position`: a bijection for every key, without a table.

    A Feistel network over the next power of four; numbers that fall outside go through it again.
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = position >> half, position & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (hash_words("shuffle", *key, turn, right) & mask)
        position = left << half | right
        if position < count:
            return position


@dataclass(frozen=True)
class Order:
    """Clips in buckets (those of a bucket have pictures of one shape), `group` of one bucket after another.

    Every bucket's clips are gone through again and again, each time in another order and none twice before all were
    seen; groups of different buckets alternate as often as the buckets are large.
    """

    sizes: Sequence[int]
    """Clips in each bucket, none of them empty."""
    group: int
    """Neighbouring positions that have one bucket: a batch over all processes."""

    def at(self, seed: int, position: int) -> tuple[int, int]:
        """Bucket, and the clip in it, of a position of a run."""
        shares = self._shares()
        step, lane = divmod(position, self.group)
        turn, place = divmod(step, sum(shares))
        buckets = _turn(shares, seed, turn)
        bucket, rank = buckets[place], buckets[:place].count(buckets[place])
        epoch, number = divmod((turn * shares[bucket] + rank) * self.group + lane, self.sizes[bucket])
        return bucket, shuffled(number, self.sizes[bucket], "clips", seed, bucket, epoch)

    def _shares(self) -> tuple[int, ...]:
        """How many groups of a turn each bucket has."""
        if len(self.sizes) == 1:
            return (1,)
        return tuple(max(1, round(TURN * size / sum(self.sizes))) for size in self.sizes)


@lru_cache(maxsize=4)
def _turn(shares: tuple[int, ...], seed: int, turn: int) -> tuple[int, ...]:
    """The buckets of a turn's groups, in an order that follows from its number."""
    slots = [bucket for bucket, share in enumerate(shares) for _ in range(share)]
    return tuple(slots[shuffled(place, len(slots), "groups", seed, turn)] for place in range(len(slots)))
