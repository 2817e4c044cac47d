"""The window planner covers every frame of every length."""

import pytest

from show1.diffusion.windows import plan_windows
from show1.errors import SettingsError


@pytest.mark.parametrize(("length", "stride"), [(8, 7), (8, 8), (8, 1), (5, 4), (2, 1), (1, 1), (16, 9)])
def test_every_frame_is_made_and_only_the_overlap_twice(length: int, stride: int) -> None:
    for frames in range(1, 101):
        done = 0
        for window in plan_windows(frames, length, stride):
            assert 0 <= window.start <= window.keep < window.stop <= frames
            assert window.stop - window.start == min(length, frames)
            assert window.keep <= done, "a gap"
            assert done - window.keep <= length - stride, "more than the overlap is written again"
            assert window.stop > done, "a window that adds nothing"
            done = window.stop
        assert done == frames


def test_published_plan() -> None:
    windows = plan_windows(29, 8, 7)
    assert [(w.start, w.stop, w.keep) for w in windows] == [(0, 8, 0), (7, 15, 7), (14, 22, 14), (21, 29, 21)]


def test_a_rest_moves_the_last_window_back() -> None:
    assert [(w.start, w.stop, w.keep) for w in plan_windows(10, 8, 7)] == [(0, 8, 0), (2, 10, 8)]


@pytest.mark.parametrize(("frames", "length", "stride"), [(0, 8, 7), (-3, 8, 7), (10, 4, 5), (10, 4, 0), (10, 0, 0)])
def test_plans_that_leave_gaps_are_refused(frames: int, length: int, stride: int) -> None:
    with pytest.raises(SettingsError, match=str(min(frames, length) if frames < 1 else length)):
        plan_windows(frames, length, stride)
