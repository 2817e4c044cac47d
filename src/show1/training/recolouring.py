"""Other colours for what a VAE encodes: its decoder then finds the colours of what it makes by itself, in the style of the pictures that it learns from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from show1.models.recogniser import luminance
from show1.training.chance import Chance

COLOURS = ((0.0, -0.344, 1.772), (1.402, -0.714, 0.0))
"""Red, green and blue of Cb and Cr (ITU-R BT.601), which change no lightness."""
SPREAD = 0.15
"""Standard deviation of each part of Cb and Cr, for pictures in [-1, 1]."""
PATCHES = (3, 5)
"""Rows and columns of the random colours, which run into each other."""


def recoloured(pictures: Tensor, span: tuple[float, float], chance: Chance) -> Tensor:
    """Pictures in colours drawn at random, which say nothing of what is to be seen but by their lightness.

    Args:
        pictures: [B, 3, H, W] in [-1, 1].
        span: the lightness that becomes -1, and the one that becomes 1.
        chance: draws each picture's colours: one hue for all of it, hues that change over its area, and hues that change with lightness.

    Returns:
        [B, 3, H, W] in [-1, 1].
    """
    low, high = span
    light = luminance(pictures)[:, None].sub(low).mul(2 / (high - low)).sub(1).clamp(-1, 1)
    patches = functional.interpolate(
        chance.normal_like(pictures.new_empty(len(pictures), 2, *PATCHES)), pictures.shape[-2:], mode="bilinear"
    )
    whole, slope = chance.normal_like(pictures.new_empty(len(pictures), 4)).view(-1, 2, 2, 1, 1).unbind(1)
    hues = SPREAD * (patches + whole + slope * light)
    return (light + torch.einsum("bkhw,kc->bchw", hues, pictures.new_tensor(COLOURS))).clamp(-1, 1)
