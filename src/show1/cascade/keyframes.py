"""Keyframes: text -> a few frames far apart, in pixels, where the text is obeyed (Show-1, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from show1.cascade.stage import Sampler, Text, repeat_to
from show1.diffusion.blending import in_windows
from show1.diffusion.denoise import Network, OnStep, restart

COLOURS = 3
COORDINATES = 3
"""Channels that tell a network where and when it looks: x, y, time."""


def reads_coordinates(network: nn.Module) -> bool:
    """Whether a keyframe network takes coordinates beside the noisy colours: the published ones do not, the bundled one does."""
    channels: int = getattr(network, "module", network).config.in_channels
    return channels == COLOURS + COORDINATES


def coordinates(moments: Tensor, size: tuple[int, int]) -> Tensor:
    """Where and when each pixel is: x (to the right), y (down) and time, each from -1 to 1.

    Convolutions and attention over frames cannot tell a frame's number but by what padding leaves beside it; told, a
    network learns directions of motion from far fewer clips (as Liu et al. 2018, "CoordConv", found for places).

    Args:
        moments: shares of the clip that has passed, from 0 to 1, [F] or [B, F].
        size: (width, height).

    Returns:
        [B, 3, F, H, W], B = 1 where all clips have the same moments.
    """
    moments = torch.atleast_2d(moments)
    shape = (*moments.shape, size[1], size[0])
    time = (2 * moments - 1)[:, :, None, None].expand(shape)
    x = torch.linspace(-1, 1, size[0], device=moments.device).expand(shape)
    y = torch.linspace(-1, 1, size[1], device=moments.device)[:, None].expand(shape)
    return torch.stack([x, y, time], dim=1)


def even_moments(frames: int) -> Tensor:
    """Shares of the clip that has passed at each of its keyframes, [frames] from 0 to 1."""
    return torch.linspace(0, 1, frames)


def keyframes_call(network: Network, where: Tensor) -> Network:
    """A keyframe network that reads coordinates `where` [B, 3, F, H, W] beside the noisy frames."""

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        return network(torch.cat([noisy, repeat_to(where.to(noisy), noisy.shape[0])], dim=1), timestep, text)

    return call


def sample_keyframes(
    sampler: Sampler,
    text: Text,
    frames: int,
    size: tuple[int, int],
    seeds: list[int],
    on_step: OnStep | None = None,
    *,
    window: int | None = None,
    stride: int = 1,
    first: Tensor | None = None,
) -> Tensor:
    """Keyframes [B, 3, frames, H, W], nominally in [-1, 1], not clamped.

    Args:
        size: (width, height).
        seeds: one a video.
        window, stride: more keyframes than `window` are denoised in overlapping windows, `stride` apart.
        first: the first keyframe [B, 3, 1, H, W], where it is given; the others follow from it and the text.
    """
    generators = restart(seeds)
    noise = sampler.noise((3, frames, size[1], size[0]), generators)
    call = in_windows(sampler.predict, frames, window or frames, stride)
    if reads_coordinates(sampler.network):
        call = keyframes_call(call, coordinates(even_moments(frames), size))
    known = None if first is None else first.to(noise)
    return sampler.run(call, noise, text, generators, on_step, known)
