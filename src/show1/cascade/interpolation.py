"""Interpolation: each pair of keyframes -> the frames between, all pairs as one batch (Show-1, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from show1.cascade.stage import Sampler, Text, repeat_to
from show1.diffusion.denoise import Network, OnStep, restart


def blend_condition(first: Tensor, last: Tensor, frames: int) -> Tensor:
    """The condition: two keyframes [B, 3, H, W] blended linearly over `frames` frames, and a mask that is 1 on the two.

    Returns:
        [B, 4, frames, H, W].
    """
    share = torch.linspace(0, 1, frames, device=first.device, dtype=first.dtype).view(1, 1, -1, 1, 1)
    blended = first.unsqueeze(2) * (1 - share) + last.unsqueeze(2) * share
    mask = torch.zeros_like(blended[:, :1])
    mask[:, :, [0, -1]] = 1
    return torch.cat([blended, mask], dim=1)


def interpolation_call(sampler: Sampler, condition: Tensor) -> Network:
    """The interpolation network as the denoising loop calls it: noisy frames and condition in one picture of 7 channels."""

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        return sampler.predict(torch.cat([noisy, repeat_to(condition, noisy.shape[0])], dim=1), timestep, text)

    return call


def sample_interpolation(
    sampler: Sampler,
    text: Text,
    keyframes: Tensor,
    between: int,
    seeds: list[int],
    on_step: OnStep | None = None,
    *,
    at_a_time: int | None = None,
) -> Tensor:
    """Fill in `between` frames between neighbouring keyframes [B, 3, K, H, W].

    As published, all windows of a video start from the same noise, and the network's own version of each keyframe
    takes the keyframe's place (the later window's, where two windows meet).

    Args:
        at_a_time: windows in a batch, where memory is short; all where None.

    Returns:
        [B, 3, (K - 1) * (between + 1) + 1, H, W], not clamped.
    """
    batch, channels, count, height, width = keyframes.shape
    pairs, length = count - 1, between + 2
    if pairs == 0 or between == 0:
        return keyframes
    keyframes = sampler.state(keyframes)
    first = keyframes[:, :, :-1].transpose(1, 2).flatten(0, 1)
    last = keyframes[:, :, 1:].transpose(1, 2).flatten(0, 1)
    noise = sampler.noise((channels, length, height, width), restart(seeds)).repeat_interleave(pairs, 0)
    generators = restart([seed for seed in seeds for _ in range(pairs)])
    texts, made = text.for_windows(pairs), []
    for start in range(0, len(noise), at_a_time or len(noise)):
        part = slice(start, start + (at_a_time or len(noise)))
        call = interpolation_call(sampler, blend_condition(first[part], last[part], length))
        made.append(sampler.run(call, noise[part], texts.of_some(part), generators[part], on_step))
    windows = torch.cat(made).unflatten(0, (batch, pairs))

    inner = windows[:, :, :, :-1].transpose(1, 2).flatten(2, 3)  # [B, 3, pairs * (between + 1), H, W]
    return torch.cat([inner, windows[:, -1, :, -1:]], dim=2)
