"""The order of clips: every clip once before any twice, another order every time, and no state."""

import itertools
from collections import Counter

import pytest

from show1.data.order import Order, shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 100, 1000])
def test_a_shuffle_is_a_bijection(count: int) -> None:
    assert sorted(shuffled(i, count, "key") for i in range(count)) == list(range(count))


def test_a_shuffle_mixes_and_its_key_decides() -> None:
    one, other = ([shuffled(i, 1000, key) for i in range(1000)] for key in (1, 2))
    assert one != other
    for order in (one, other):
        moved = [abs(place - i) for i, place in enumerate(order)]
        assert 300 < sum(moved) / 1000 < 366, "a third of the count, as in a fair shuffle"
        steps = Counter((b - a) % 1000 for a, b in itertools.pairwise(order))
        assert max(steps.values()) < 10


def test_every_clip_comes_once_before_any_comes_twice() -> None:
    order = Order([10], group=4)
    seen = [order.at(7, position) for position in range(30)]
    for epoch in range(3):
        assert sorted(number for _, number in seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert seen[:10] != seen[10:20]
    assert seen != [order.at(8, position) for position in range(30)]


def test_a_batch_has_one_bucket_and_buckets_come_as_often_as_they_are_large() -> None:
    order = Order([30, 10, 1], group=4)
    groups = [[order.at(0, 4 * step + lane) for lane in range(4)] for step in range(198)]
    assert all(len({bucket for bucket, _ in group}) == 1 for group in groups)
    often = Counter(group[0][0] for group in groups)
    assert often == {0: 146, 1: 48, 2: 4}
    first = [number for group in groups for bucket, number in group if bucket == 0][:30]
    assert sorted(first) == list(range(30))


def test_processes_read_disjoint_clips() -> None:
    order = Order([1000], group=8)
    halves = [[order.at(3, 8 * step + 4 * process + i)[1] for step in range(100) for i in range(4)] for process in (0, 1)]
    assert not set(halves[0]) & set(halves[1]) and len(set(halves[0])) == 400


def test_an_order_needs_no_table() -> None:
    bucket, number = Order([10_000_000], group=64).at(1, 123_456_789_012)
    assert bucket == 0 and 0 <= number < 10_000_000
