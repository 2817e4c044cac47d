"""Keyframes: text -> a few frames far apart, in pixels, where the text is obeyed (Show-1, section 3.2)."""

from __future__ import annotations

from torch import Tensor

from show1.cascade.stage import Sampler, Text
from show1.diffusion.denoise import OnStep, restart


def sample_keyframes(
    sampler: Sampler, text: Text, frames: int, size: tuple[int, int], seeds: list[int], on_step: OnStep | None = None
) -> Tensor:
    """Keyframes [B, 3, frames, H, W], nominally in [-1, 1], not clamped; `size` is (width, height), `seeds` one a video."""
    generators = restart(seeds)
    noise = sampler.noise((3, frames, size[1], size[0]), generators)
    return sampler.run(sampler.predict, noise, text, generators, on_step)
