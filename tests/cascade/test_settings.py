"""What follows from a cascade's settings."""

import pytest

from show1.cascade.settings import PUBLISHED


def test_sizes_and_times_of_the_published_cascade() -> None:
    assert PUBLISHED.stage_sizes() == {"keyframes": (64, 40), "interpolation": (64, 40), "pixel": (256, 160), "latent": (576, 320)}
    times = PUBLISHED.frame_times()
    assert len(times) == 29 and times[4] == pytest.approx(4 / 7.5)
