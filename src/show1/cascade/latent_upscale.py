"""Latent upscaling, "expert translation": resize, encode, noise part of the way, denoise, decode (Show-1, section 3.5; SDEdit)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor

from show1.cascade.stage import STATE, Sampler, Text
from show1.diffusion.denoise import OnStep, as_frames, as_video, denoise, fresh_scheduler, restart
from show1.models.autoencoders import latent_distribution
from show1.video import from_uint8, to_uint8


def resize(video: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize [B, 3, F, H, W] in [-1, 1] to `size` (width, height) as published: 8-bit pictures, Pillow's bicubic filter."""
    frames = resize_pictures(to_uint8(video).flatten(0, 1), size)
    return from_uint8(frames.unflatten(0, (video.shape[0], -1)))


def resize_pictures(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize 8-bit pictures [N, H, W, 3] to `size` (width, height)."""
    return _resize(frames, list(size))


@torch.library.custom_op("show1::resize", mutates_args=())
def _resize(frames: Tensor, size: Sequence[int]) -> Tensor:
    """`resize_pictures` as an operation, so that its memory can be told without pictures (show1.memory)."""
    resized = [np.asarray(Image.fromarray(frame.numpy()).resize((size[0], size[1]), Image.Resampling.BICUBIC)) for frame in frames]
    return torch.from_numpy(np.stack(resized))


@_resize.register_fake
def _(frames: Tensor, size: Sequence[int]) -> Tensor:
    return frames.new_empty(len(frames), size[1], size[0], 3)


def latent_moments(vae: Any, frames: Tensor) -> DiagonalGaussianDistribution:
    """Encode pictures [N, 3, H, W] in [-1, 1] one by one (constant memory) to the latents' distribution."""
    moments = [latent_distribution(vae, frame.to(vae.dtype)).parameters.to(STATE) for frame in frames.split(1)]
    return DiagonalGaussianDistribution(torch.cat(moments))


def decode(vae: Any, latents: Tensor) -> Iterator[Tensor]:
    """Decode scaled latents [B, 4, F, h, w] one by one, to pictures [1, 3, H, W], nominally in [-1, 1]."""
    for latent in as_frames(latents / vae.config.scaling_factor).split(1):
        yield vae.decode(latent.to(vae.dtype)).sample.to(STATE)


def sample_latent_upscale(
    sampler: Sampler,
    vae: Any,
    text: Text,
    video: Tensor,
    size: tuple[int, int],
    seeds: list[int],
    on_step: OnStep | None = None,
) -> Tensor:
    """Bring a low-resolution video [B, 3, F, H, W] to `size` (width, height).

    As published, the latents are drawn from the encoder's distribution, then noised to the first timestep that
    `strength` leaves.

    Returns:
        [B, 3, F, height, width], nominally in [-1, 1], not clamped.
    """
    settings = sampler.settings
    generators = restart(seeds)
    resized = sampler.state(resize(video, size))
    scheduler = fresh_scheduler(sampler.scheduler, settings.steps, sampler.device)
    timesteps = scheduler.timesteps[(settings.steps - settings.steps_run()) * scheduler.order :]

    starts = []
    for pictures, generator in zip(as_frames(resized).chunk(len(seeds)), generators, strict=True):
        latents = latent_moments(vae, pictures).sample(generator) * vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=generator, dtype=latents.dtype).to(latents.device)
        starts.append(scheduler.add_noise(latents, noise, timesteps[:1].expand(len(latents))))
    start = as_video(torch.cat(starts), len(seeds))

    predict = sampler.guided(sampler.predict, text)
    latents = denoise(predict, start, scheduler, timesteps, generators, on_step)
    return as_video(torch.cat(list(decode(vae, latents))), len(seeds))
