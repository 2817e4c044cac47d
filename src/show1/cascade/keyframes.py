"""Keyframes: text -> a few frames far apart, in pixels, where the text is obeyed (Show-1, section 3.2)."""

from __future__ import annotations

from torch import Tensor

from show1.cascade.stage import Sampler, Text
from show1.diffusion.blending import in_windows
from show1.diffusion.denoise import OnStep, restart


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
    known = None if first is None else sampler.state(first)
    return sampler.run(call, noise, text, generators, on_step, known)
