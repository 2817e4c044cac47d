"""Pixel upscaling: the first frame by an image upscaler, then windows of frames that each start from a finished one (Show-1, sec. 3.4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from show1.cascade.stage import Sampler, Text, enlarge, repeat_to
from show1.diffusion.denoise import Network, OnStep, restart
from show1.diffusion.windows import plan_windows


def noise_levels(sampler: Sampler, batch: int) -> Tensor:
    """The sampling noise level for each video, [batch]."""
    return torch.full((batch,), sampler.settings.noise_level or 0, device=sampler.device)


def first_frame_call(sampler: Sampler, condition: Tensor, levels: Tensor) -> Network:
    """The image upscaler as the denoising loop calls it: a video of one frame in and out; condition [B, 3, 1, H, W]."""

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        batch = noisy.shape[0]
        picture = torch.cat([noisy, repeat_to(condition, batch)], dim=1).squeeze(2)
        return sampler.predict(picture, timestep, text, class_labels=repeat_to(levels, batch)).unsqueeze(2)

    return call


def sample_first_frame(
    sampler: Sampler, noising: Any, text: Text, frame: Tensor, scale: int, seeds: list[int], on_step: OnStep | None = None
) -> Tensor:
    """Upscale an image [B, 3, 1, H, W] -> [B, 3, 1, H * scale, W * scale], not clamped (DeepFloyd IF, stage II)."""
    frame = sampler.state(frame)
    generators = restart(seeds)
    shape = (3, 1, frame.shape[-2] * scale, frame.shape[-1] * scale)
    noise = sampler.noise(shape, generators)
    levels = noise_levels(sampler, len(seeds))
    condition = noising.add_noise(enlarge(frame, scale), sampler.noise(shape, generators), levels)
    return sampler.run(first_frame_call(sampler, condition, levels), noise, text, generators, on_step)


def with_first_frame(condition: Tensor, first: Tensor) -> Tensor:
    """Put a finished frame [B, 3, 1, H, W], unnoised, in the place of the condition's first."""
    return torch.cat([first, condition[:, :, 1:]], dim=2)


def pixel_call(sampler: Sampler, condition: Tensor, levels: Tensor) -> Network:
    """The video upscaler as the denoising loop calls it; condition [B, 3, F, H, W], noise levels [B]."""

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        batch = noisy.shape[0]
        video = torch.cat([noisy, repeat_to(condition, batch)], dim=1)
        return sampler.predict(video, timestep, text, class_labels=repeat_to(levels, batch))

    return call


def sample_pixel_upscale(
    sampler: Sampler,
    noising: Any,
    text: Text,
    low: Tensor,
    first: Tensor,
    scale: int,
    window: int,
    stride: int,
    seeds: list[int],
    on_step: OnStep | None = None,
) -> Tensor:
    """Upscale a video window by window, each led by a frame that is already done.

    Args:
        low: [B, 3, F, H, W].
        first: its first frame, upscaled, [B, 3, 1, H * scale, W * scale].

    Returns:
        [B, 3, F, H * scale, W * scale], not clamped.
    """
    low = sampler.state(low)
    levels = noise_levels(sampler, len(seeds))
    done = sampler.state(first)
    for part in plan_windows(low.shape[2], window, stride):
        generators = restart(seeds)
        shape = (3, part.stop - part.start, low.shape[-2] * scale, low.shape[-1] * scale)
        noise = sampler.noise(shape, generators)
        enlarged = enlarge(low[:, :, part.start : part.stop], scale)
        condition = noising.add_noise(enlarged, sampler.noise(shape, generators), levels)
        condition = with_first_frame(condition, done[:, :, part.start : part.start + 1])
        made = sampler.run(pixel_call(sampler, condition, levels), noise, text, generators, on_step)
        done = torch.cat([done[:, :, : part.keep], made[:, :, part.keep - part.start :]], dim=2)
    return done
