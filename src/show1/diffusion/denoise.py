"""The denoising loop with classifier-free guidance; it takes a callable and knows nothing of networks or text encoders.

Shapes: B videos, C channels, F frames, H x W pixels or latents; an image is a video of one frame.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy [B, C, F, H, W], timestep, text [B, L, D]) -> prediction [B, C or 2C, F, H, W]."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy [B, C, F, H, W], timestep) -> guided prediction [B, C or 2C, F, H, W]."""

OnStep = Callable[[int, Tensor, Tensor], Tensor]
"""(step index, timestep, sample) -> the sample to go on with."""


def restart(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator a video, each at the start of its seed, as every published stage and window begins."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw_noise(shape: Sequence[int], generators: list[torch.Generator], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Standard normal noise [B, *shape], video b from its own generator, so that a video does not depend on its batch."""
    noise = [randn_tensor((1, *shape), generator=g, device=device, dtype=dtype) for g in generators]
    return torch.cat(noise)


def fresh_scheduler(scheduler: Any, steps: int, device: torch.device) -> Any:
    """A copy with its timesteps set; schedulers keep state, so no two loops share one."""
    copy = type(scheduler).from_config(scheduler.config)
    copy.set_timesteps(steps, device=device)
    return copy


def guided(network: Network, text: Tensor, negative: Tensor | None, scale: float, *, apart: bool = False) -> Predict:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6): uncond + scale * (cond - uncond).

    Args:
        text: [B, L, D] what is asked.
        negative: [B, L, D] what is to be avoided; None, or a scale of at most 1, leaves guidance out.
        apart: two calls, one after the other, in place of one with both in a batch: less memory.
    """
    if negative is None or scale <= 1.0:
        return lambda sample, timestep: network(sample, timestep, text)
    both_texts = torch.cat([negative, text])

    def predict(sample: Tensor, timestep: Tensor) -> Tensor:
        channels = sample.shape[1]
        if apart:
            without, with_text = network(sample, timestep, negative), network(sample, timestep, text)
        else:
            without, with_text = network(torch.cat([sample, sample]), timestep, both_texts).chunk(2)
        noise, variance = with_text[:, :channels], with_text[:, channels:]
        without = without[:, :channels]
        return torch.cat([without + scale * (noise - without), variance], dim=1)  # only the noise is guided, as published

    return predict


def as_frames(video: Tensor) -> Tensor:
    """[B, C, F, H, W] -> [B*F, C, H, W]."""
    return video.transpose(1, 2).flatten(0, 1)


def as_video(frames: Tensor, batch: int) -> Tensor:
    """[B*F, C, H, W] -> [B, C, F, H, W]."""
    return frames.unflatten(0, (batch, -1)).transpose(1, 2)


def denoise(
    predict: Predict,
    sample: Tensor,
    scheduler: Any,
    timesteps: Tensor,
    generators: list[torch.Generator],
    on_step: OnStep | None = None,
) -> Tensor:
    """Denoise a video from the first of `timesteps` to the end.

    The scheduler sees the frames as its batch, so that dynamic thresholding is per frame (as published).

    Args:
        sample: noisy start [B, C, F, H, W].
        scheduler: from `fresh_scheduler`.
        generators: one a video, or one a frame, for schedulers that draw noise.

    Returns:
        The denoised video [B, C, F, H, W], not clamped.
    """
    batch, channels, frames = sample.shape[:3]
    learned_variance = scheduler.config.get("variance_type") in ("learned", "learned_range")
    noise_source: dict[str, Any] = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        each = [g for g in generators for _ in range(frames)] if len(generators) == batch > 1 else generators
        noise_source["generator"] = each if len(each) == batch * frames else each[0]
    for index, timestep in enumerate(timesteps):
        prediction = predict(scheduler.scale_model_input(sample, timestep), timestep)
        if not learned_variance:
            prediction = prediction[:, :channels]
        step = scheduler.step(as_frames(prediction), timestep, as_frames(sample), **noise_source)
        sample = as_video(step.prev_sample, batch)
        if on_step is not None:
            sample = on_step(index, timestep, sample)
    return sample
