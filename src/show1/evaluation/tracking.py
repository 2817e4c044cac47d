"""Where the one moving thing of a video is, frame by frame, and whether it goes a given way.

Shapes: F frames, H x W pixels. Positions are shares of the picture, x to the right and y down.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_CORRELATION = 0.8
LEAST_REACH = 0.5
"""What of a way must be there, each way along x and y; set on rendered clips (see `benchmarks/customise.py`)."""


def track(video: Tensor) -> Tensor:
    """Positions [F, 2] of what differs from the picture that stays: the median over the frames.

    Args:
        video: [3, F, H, W], any range.
    """
    video = video.float()
    differs = (video - video.median(dim=1, keepdim=True).values).square().sum(0)
    differs = differs / differs.sum((1, 2), keepdim=True).clamp(min=1e-9)
    height, width = differs.shape[1:]
    x = (torch.arange(width, device=video.device) + 0.5) / width
    y = (torch.arange(height, device=video.device) + 0.5) / height
    return torch.stack([(differs.sum(1) * x).sum(1), (differs.sum(2) * y).sum(1)], dim=1)


def agreement(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """How alike two ways [F, 2] are, wherever they lie: correlation and share of the wanted reach (standard deviation), each along x and y [2]."""
    found, wanted = found - found.mean(0), wanted - wanted.mean(0)
    spread, wanted_spread = found.square().sum(0).sqrt(), wanted.square().sum(0).sqrt()
    correlation = (found * wanted).sum(0) / (spread * wanted_spread).clamp(min=1e-9)
    return correlation, spread / wanted_spread.clamp(min=1e-9)


def goes(video: Tensor, wanted: Tensor) -> bool:
    """Whether the moving thing of a video [3, F, H, W] goes a wanted way [F, 2]."""
    correlation, reach = agreement(track(video), wanted)
    return bool((correlation >= LEAST_CORRELATION).all() and (reach >= LEAST_REACH).all())
