"""The latent stage's VAE: Stable Diffusion's kind, or the small kind without norms and attention (diffusers' AutoencoderTiny)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from show1.errors import CheckpointError
from show1.models.loading import load_network
from show1.models.reading import read_json

KINDS: dict[str, Any] = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
TINY_LOG_VARIANCE = -8.0
"""Of the small kind's latents, which tell no variance of their own: the noise that its decoder learns to bear."""


def vae_kind(config: Mapping[str, Any], where: str) -> Any:
    """The class that a config names; Stable Diffusion's where it names none.

    Raises:
        CheckpointError: it names another one.
    """
    name = str(config.get("_class_name", "AutoencoderKL"))
    if name not in KINDS:
        raise CheckpointError(f"{where} names the VAE '{name}'; use one of {', '.join(KINDS)}")
    return KINDS[name]


def load_vae(folder: Path, **options: Any) -> Any:
    """Load a VAE of the kind that its config names; `options` as in `load_network`.

    Raises:
        CheckpointError: missing or unreadable files, or weights that do not fit the config.
    """
    return load_network(vae_kind(read_json(folder / "config.json"), f"'{folder}'"), folder, **options)


def latent_distribution(vae: Any, pictures: Tensor) -> DiagonalGaussianDistribution:
    """Pictures [N, 3, H, W] in [-1, 1] -> their latents' distribution [N, C, H / 8, W / 8]."""
    encoded = vae.encode(pictures)
    if hasattr(encoded, "latent_dist"):
        return encoded.latent_dist
    latents = encoded.latents
    return DiagonalGaussianDistribution(torch.cat([latents, torch.full_like(latents, TINY_LOG_VARIANCE)], dim=1))


def works_in_tiles(vae: nn.Module) -> bool:
    """Whether `enable_tiling` can be used; diffusers' small kind does so for latents of 4 channels only, and needs little memory anyway."""
    return isinstance(vae, AutoencoderKL)
