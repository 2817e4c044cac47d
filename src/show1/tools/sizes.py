"""Sizes of a user's pictures and of a network's."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from show1.cascade.latent_upscale import resize_pictures
from show1.errors import SettingsError
from show1.video import from_uint8

LARGEST_SIDE = 8192
LARGEST_SCALE = 16


def even(width: float, height: float) -> tuple[int, int]:
    """The nearest even size, which video files need.

    Raises:
        SettingsError: sides that are too small or too large for a video.
    """
    size = (round(width / 2) * 2, round(height / 2) * 2)
    if not all(2 <= side <= LARGEST_SIDE for side in size):
        raise SettingsError(f"a video of {size[0]}x{size[1]} cannot be made; sides go from 2 to {LARGEST_SIDE}")
    return size


def usual_scale(size: tuple[int, int], trained: tuple[int, int]) -> float:
    """How many times as wide and high a picture is made: to about as many pixels as the network was trained on, twice at least."""
    return float(min(max(2.0, math.sqrt(math.prod(trained) / math.prod(size))), LARGEST_SCALE))


def multiple_of(network: object) -> int:
    """What a network's sides must be multiples of."""
    return int(2 ** (len(network.config.block_out_channels) - 1))  # type: ignore[attr-defined]


def fitted(picture: Tensor, size: tuple[int, int], multiple: int) -> Tensor:
    """A picture [H, W, 3], 8 bit -> [1, 3, h, w] in [-1, 1]: resized to `size` (width, height), its border repeated up to a multiple."""
    frames = picture[None] if picture.shape[1::-1] == torch.Size(size) else resize_pictures(picture[None], size)
    video = from_uint8(frames).transpose(0, 1)
    right, below = (math.ceil(side / multiple) * multiple - side for side in size)
    return functional.pad(video, (0, right, 0, below), mode="replicate")
