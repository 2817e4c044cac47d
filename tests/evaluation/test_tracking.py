"""The tracker, on a square whose way is known."""

import pytest
import torch
from torch import Tensor

from show1.evaluation.tracking import agreement, goes, track


def moving(way: Tensor, size: int = 6) -> Tensor:
    """A bright square of `size` pixels whose middle goes a way [F, 2] over a striped picture of 64 x 40."""
    video = torch.linspace(-1, 0, 64).expand(3, len(way), 40, 64).clone()
    for frame, (x, y) in enumerate(way.tolist()):
        left, top = round(x * 64) - size // 2, round(y * 40) - size // 2
        video[:, frame, top : top + size, left : left + size] = 1.0
    return video


LINE = torch.stack([torch.linspace(0.2, 0.8, 8), torch.linspace(0.8, 0.3, 8)], dim=1)


def test_a_square_is_found_within_a_pixel() -> None:
    assert (track(moving(LINE)) - LINE).abs().max() < 1 / 40


def test_ways_are_compared_wherever_they_lie() -> None:
    correlation, reach = agreement(LINE / 2 + 0.3, LINE)
    torch.testing.assert_close(correlation, torch.ones(2))
    torch.testing.assert_close(reach, torch.full((2,), 0.5))


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (LINE, True),
        (LINE * 0.8 + 0.05, True),
        (LINE * 0.3 + 0.3, False),
        (LINE.flip(0), False),
        (LINE * torch.tensor([1.0, 0.0]) + torch.tensor([0.0, 0.5]), False),
    ],
    ids=["itself", "smaller", "far smaller", "backwards", "along x only"],
)
def test_a_way_is_told_from_others(way: Tensor, expected: bool) -> None:
    assert goes(moving(way), LINE) == expected


def test_a_picture_that_stays_goes_nowhere() -> None:
    still = moving(LINE[:1]).expand(3, 8, 40, 64)
    assert not goes(still, LINE) and bool(torch.isfinite(track(still)).all())
