"""Keyframes: text -> a few frames far apart, in pixels, where the text is obeyed (Show-1, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from show1.cascade.stage import Sampler, Text, repeat_to
from show1.diffusion.blending import in_windows
from show1.diffusion.denoise import Network, OnStep, restart

LAST_MOMENT = 999
"""What the last keyframe of a clip is labelled with; the first is 0. (Labels share the timesteps' sinusoids, which tell such numbers apart.)"""


def reads_moments(network: nn.Module) -> bool:
    """Whether a keyframe network is told each frame's moment, as the published one is not."""
    return getattr(network, "module", network).config.class_embed_type is not None


def as_labels(shares: Tensor) -> Tensor:
    """Labels of frames by the share of the clip that has passed, 0 to 1."""
    return shares * LAST_MOMENT


def even_moments(frames: int) -> Tensor:
    """The labels of a clip's keyframes, [1, frames]: long videos are one path from the first to the last, whatever windows they are made in."""
    return as_labels(torch.linspace(0, 1, frames))[None]


def keyframes_call(sampler: Sampler, moments: Tensor) -> Network:
    """The keyframe network as the denoising loop calls it, told the moments [1 or B, F] of its frames if it reads them.

    Attention over frames has no positions, and convolutions tell a frame's number only by the padding beside it. Told in the time
    embedding, which reaches every layer, a network can learn where a motion has come to.
    """
    if not reads_moments(sampler.network):
        return sampler.predict

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        return sampler.predict(noisy, timestep, text, class_labels=repeat_to(moments.to(noisy.device), len(noisy)))

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
    moments = even_moments(frames)
    call = in_windows(lambda part: keyframes_call(sampler, moments[:, part]), frames, window or frames, stride)
    known = None if first is None else first.to(noise)
    return sampler.run(call, noise, text, generators, on_step, known)
