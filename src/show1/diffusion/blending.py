"""Networks that are given more frames than they know: overlapping windows whose predictions, or samples, are blended.

Shapes: B videos, C channels, F frames, H x W pixels or latents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from show1.diffusion.denoise import Network, OnStep
from show1.diffusion.windows import plan_windows


def in_windows(network_of: Callable[[slice], Network], frames: int, length: int, stride: int) -> Network:
    """A network that sees `length` of `frames` frames at a time; where windows overlap, its predictions are averaged.

    `network_of` gives the network for a part of the frames.

    All frames are denoised together, so neighbouring windows agree at every step (Bar-Tal et al. 2023, "MultiDiffusion",
    eq. 5). A prediction counts the more the nearer its frame is to its window's middle, so that no seam can be seen.
    """
    if frames <= length:
        return network_of(slice(0, frames))
    windows = [slice(part.start, part.stop) for part in plan_windows(frames, length, stride)]
    networks = [network_of(part) for part in windows]
    place = torch.arange(length)
    ramp = torch.minimum(place + 1, length - place).float().view(1, 1, -1, 1, 1)

    def blended(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        weight = ramp.to(noisy.device, noisy.dtype)
        total, weights = None, noisy.new_zeros(1, 1, frames, 1, 1)
        for part, network in zip(windows, networks, strict=True):
            prediction = network(noisy[:, :, part], timestep, text)
            if total is None:
                total = prediction.new_zeros(*prediction.shape[:2], frames, *prediction.shape[3:])
            total[:, :, part] += weight * prediction
            weights[:, :, part] += weight
        assert total is not None
        return total / weights

    return blended


def holding(scheduler: Any, known: Tensor, noise: Tensor, timesteps: Tensor, on_step: OnStep | None) -> OnStep:
    """A step callback that keeps the first frames at what is known of them, noised as far as the others are.

    The replacement method (Ho et al. 2022, "Video Diffusion Models", sec. 3.1) with the same noise at every step: the
    known frames follow the path that a solver without chance would take to them, and end on them exactly.

    Args:
        known: the first frames, clean, [B, C, n, H, W].
        noise: that they are noised with, likewise.
    """

    def hold(index: int, timestep: Tensor, sample: Tensor) -> Tensor:
        last = index + 1 >= len(timesteps)
        kept = known if last else scheduler.add_noise(known, noise, timesteps[index + 1].expand(len(known)))
        sample = torch.cat([kept.to(sample.dtype), sample[:, :, known.shape[2] :]], dim=2)
        return sample if on_step is None else on_step(index, timestep, sample)

    return hold
