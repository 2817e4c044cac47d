"""Where clips move weighs more."""

import torch

from show1.training.tasks import moving_in


def test_moving_pixels_are_those_that_differ_from_what_stays() -> None:
    clip = torch.zeros(1, 3, 5, 4, 6)
    clip += torch.linspace(0, 0.05, 5)[:, None, None]  # compression
    for frame in range(5):
        clip[0, 1, frame, 2, frame] = 1.0
    found = moving_in(clip)
    assert found.shape == (1, 1, 5, 4, 6) and found.sum() == 5
    assert all(found[0, 0, frame, 2, frame] == 1 for frame in range(5))
