"""The formulas behind the tables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from show1.models.recogniser import luminance

Z95 = 1.959964
"""Half-width of a 95% interval in standard deviations of a normal distribution."""


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95% interval of a share, 0..1 (Wilson 1927, "Probable inference", score interval); all of 0..1 where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, spread = right / total, Z95**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(only_first: int, only_second: int, total: int) -> tuple[float, float]:
    """95% interval of a share's change, -1..1, between two trials of the same things (Bonett & Price 2012, adjusted Wald); of -1..1 for none.

    Args:
        only_first, only_second: things that were right the first time only, and the second time only.
        total: things that were tried.
    """
    if total == 0:
        return -1.0, 1.0
    lost, won = (only_first + 1) / (total + 2), (only_second + 1) / (total + 2)
    half = Z95 * math.sqrt((won + lost - (won - lost) ** 2) / (total + 2))
    return max(-1.0, won - lost - half), min(1.0, won - lost + half)


def moments(features: Tensor) -> Tensor:
    """Mean and covariance of features [N, D] in one tensor [D + 1, D], the mean first; without spread for a single one."""
    features = features.double()
    covariance = torch.cov(features.T) if len(features) > 1 else torch.zeros(features.shape[1], features.shape[1])
    return torch.cat([features.mean(0, keepdim=True), covariance.double()])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance between normal distributions with `moments` [D + 1, D] (Heusel et al. 2017, eq. 6)."""
    mean_a, covariance_a, mean_b, covariance_b = a[0].double(), a[1:].double(), b[0].double(), b[1:].double()
    # The trace of the square root of a product of covariances is the sum of the roots of its eigenvalues, real and not negative.
    roots = torch.linalg.eigvals(covariance_a @ covariance_b).real.clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * roots)


def light_of(video: Tensor) -> Tensor:
    """Luminance of what a file would hold: colours beyond [-1, 1] are cut off."""
    return luminance(video.float().clamp(-1, 1))


def sharpness(video: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels' luminance, [B]; falls with blur, rises with grain."""
    light = light_of(video)
    across, down = light.diff(dim=-1).abs(), light.diff(dim=-2).abs()
    return (across.mean(dim=(1, 2, 3)) + down.mean(dim=(1, 2, 3))) / 2


def flicker(video: Tensor) -> Tensor:
    """Mean absolute second difference of luminance over time, [B]: 0 for stills and for steady change; 0 below three frames."""
    if video.shape[2] < 3:
        return torch.zeros(len(video))
    return light_of(video).diff(n=2, dim=1).abs().mean(dim=(1, 2, 3))


def drift(video: Tensor) -> Tensor:
    """Median over the pixels of how far luminance strays from the first frame's, mean over the frames, [B].

    Objects cover less than half of a picture, so a background that stands still gives 0.
    """
    light = light_of(video)
    off = (light[:, 1:] - light[:, :1]).abs().flatten(2)
    return off.median(dim=2).values.mean(dim=1) if light.shape[1] > 1 else torch.zeros(len(video))
