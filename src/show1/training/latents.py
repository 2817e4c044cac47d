"""Clean latents of clips: encoded as they are drawn, or computed ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from show1.cascade.latent_upscale import latent_moments
from show1.diffusion.denoise import as_frames
from show1.errors import SettingsError
from show1.training.clips import FPS, USUAL_SIZES, Clips, ClipSource
from show1.training.prepared import check_maker

LATENTS = "latents"
"""Name of what is computed ahead: moments [frames of a clip, 2 C, h, w] of whole pictures."""


class Latents(Protocol):
    """How a batch's latents come about."""

    from_frames: bool
    """Whether clips' pictures are needed."""
    arrays: tuple[str, ...]
    """What is read of every clip that was computed ahead."""

    def of(self, clips: Clips, window: tuple[int, int, int, int]) -> DiagonalGaussianDistribution:
        """The latents' distribution [B * F, C, h, w] in a window (top, left, height, width) of the pictures, in pixels."""
        ...


class EncodedLatents:
    """Encoded by the VAE, step by step."""

    from_frames = True
    arrays: tuple[str, ...] = ()

    def __init__(self, vae: Any) -> None:
        self.vae = vae

    def of(self, clips: Clips, window: tuple[int, int, int, int]) -> DiagonalGaussianDistribution:
        return latent_moments(self.vae, as_frames(clips.draw(clips.sizes.final, window)))


class StoredLatents:
    """Computed ahead from whole pictures; a window of them is cut out, where a VAE would have seen the window alone."""

    from_frames = False
    arrays: tuple[str, ...] = (LATENTS,)

    def of(self, clips: Clips, window: tuple[int, int, int, int]) -> DiagonalGaussianDistribution:
        moments = clips.array(LATENTS)
        cell = clips.sizes.final[0] // moments.shape[-1]
        top, left, height, width = (side // cell for side in window)
        frames = (clips.times.expand(len(moments), -1) * FPS).round().long()
        chosen = torch.stack([clip[rows] for clip, rows in zip(moments, frames.to(moments.device), strict=True)])
        return DiagonalGaussianDistribution(chosen[..., top : top + height, left : left + width].flatten(0, 1))


def latents_for(source: ClipSource, vae: Any, folder: Path) -> Latents:
    """Latents computed ahead where the source has them, otherwise those of the VAE in `folder`.

    Raises:
        SettingsError: they were made by another VAE, or at another size than training uses.
    """
    made = source.prepared(LATENTS)
    if not made:
        return EncodedLatents(vae)
    check_maker(made, folder, "vae")
    if tuple(made.get("size", ())) != USUAL_SIZES.final:
        raise SettingsError(f"the latents of the training data are of {made.get('size')} pictures, not {list(USUAL_SIZES.final)}")
    return StoredLatents()


def encode_clip(vae: Any, frames: Tensor) -> Tensor:
    """Moments [F, 2 C, h, w] of a clip's pictures [3, F, H, W] in [-1, 1], to be kept."""
    return latent_moments(vae, frames.transpose(0, 1)).parameters
