"""Formulas against answers known in closed form."""

import math

import pytest
import torch

from show1.evaluation.statistics import drift, flicker, frechet_distance, moments, sharpness, wilson_interval


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    low, high = wilson_interval(8, 10)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    z2 = 1.959964**2
    assert wilson_interval(0, 20) == pytest.approx((0.0, z2 / (20 + z2)), abs=1e-9)
    assert wilson_interval(20, 20) == pytest.approx((20 / (20 + z2), 1.0), abs=1e-9)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return frechet_distance(moments(a), moments(b))


def test_frechet_distance_of_normal_samples() -> None:
    a = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    assert distance(a, a) == pytest.approx(0.0, abs=1e-5)
    assert distance(a, a + 2.0) == pytest.approx(5 * 4.0, rel=1e-5)
    variances = float(torch.cov(a.T).trace())
    assert distance(a, 3 * a - 2 * a.mean(0)) == pytest.approx((3 - 1) ** 2 * variances, rel=1e-4)


def test_moments_are_the_mean_above_the_covariance() -> None:
    made = moments(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
    assert made.tolist() == [[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]]
    assert moments(torch.ones(1, 2)).tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_sharpness_is_the_mean_step_between_neighbours() -> None:
    ramp = torch.linspace(0, 0.7, 8).expand(1, 3, 2, 4, 8)
    assert float(sharpness(ramp)) == pytest.approx(0.1 / 2)
    board = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float().expand(1, 3, 1, 8, 8)
    assert float(sharpness(board)) == pytest.approx(1.0)


def test_flicker_is_zero_for_steady_change_and_full_for_blinking() -> None:
    steady = torch.linspace(-0.5, 0.5, 6)[None, None, :, None, None].expand(1, 3, 6, 4, 4)
    assert float(flicker(steady)) == pytest.approx(0.0, abs=1e-6)
    blinking = (torch.arange(6) % 2).float()[None, None, :, None, None].expand(1, 3, 6, 4, 4)
    assert float(flicker(blinking)) == pytest.approx(2.0, rel=1e-5)
    assert float(flicker(blinking[:, :, :2])) == 0.0


def test_drift_does_not_see_what_moves_before_a_still_background() -> None:
    video = torch.zeros(1, 3, 5, 10, 10)
    for frame in range(5):
        video[:, :, frame, 2:6, frame : frame + 4] = 1.0
    assert float(drift(video)) == 0.0
    fading = torch.linspace(0, 0.4, 5)[None, None, :, None, None].expand(1, 3, 5, 6, 6)
    assert float(drift(fading)) == pytest.approx((0.1 + 0.2 + 0.3 + 0.4) / 4)


def test_numbers_are_finite_for_a_few_samples() -> None:
    few = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    assert math.isfinite(distance(few, few + 1))
