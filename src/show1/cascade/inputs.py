"""What a caller passes to the pipeline, checked and made uniform; and what it gets back, in the form it asked for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import PromptError, SettingsError
from show1.text import check_prompt
from show1.video import from_uint8, to_pil

Frames: TypeAlias = Tensor | np.ndarray | list[list[Image.Image]]
OUTPUT_TYPES = ("pil", "np", "pt")
LARGEST_SEED = 2**63 - 1


def check_choices(stop_after: str, output_type: str, num_videos: int) -> None:
    """Raise SettingsError for a stage, output type or number of videos that there is not."""
    if stop_after not in STAGES:
        raise SettingsError(f"cannot stop after '{stop_after}'; stages: {', '.join(STAGES)}")
    if output_type not in OUTPUT_TYPES:
        raise SettingsError(f"unknown output_type '{output_type}'; known: {', '.join(OUTPUT_TYPES)}")
    if num_videos < 1:
        raise SettingsError(f"num_videos_per_prompt is {num_videos}; use 1 or more")


def check_given(given: Mapping[str, Tensor], stop_after: str, count: int) -> Mapping[str, Tensor]:
    """Raise SettingsError for finished stages that cannot be gone on from."""
    for stage, video in given.items():
        if stage not in STAGES:
            raise SettingsError(f"given names no stage '{stage}'; stages: {', '.join(STAGES)}")
        if STAGES.index(stage) > STAGES.index(stop_after):
            raise SettingsError(f"'{stage}' is given but the run stops after '{stop_after}'")
        if video.dim() != 5 or video.shape[:2] != (count, 3):
            raise SettingsError(f"given '{stage}' has the shape {tuple(video.shape)}; it must be [{count}, 3, frames, height, width]")
    return given


def prompt_list(prompt: str | Sequence[str] | None, embeds: Tensor | None) -> list[str]:
    """The prompts; empty ones where embeddings are given instead."""
    if prompt is None:
        if embeds is None:
            raise PromptError("give a prompt, or prompt_embeds")
        return [""] * embeds.shape[0]
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise PromptError("the list of prompts is empty")
    return [check_prompt(text) for text in prompts]


def negative_list(negative: str | Sequence[str] | None, count: int) -> list[str]:
    """One negative prompt for each prompt; empty where none is given."""
    if negative is None or isinstance(negative, str):
        return [check_prompt(negative or "")] * count
    if len(negative) != count:
        raise PromptError(f"{len(negative)} negative prompts for {count} prompts; give one, or one for each")
    return [check_prompt(text) for text in negative]


def choose_seeds(seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None, count: int) -> list[int]:
    """A seed for each video: seed + k, the generators' initial seeds, or random ones.

    Raises:
        SettingsError: both given, a seed out of range, or another number of generators than videos.
    """
    if generator is not None:
        if seed is not None:
            raise SettingsError("give a seed or a generator, not both")
        if isinstance(generator, torch.Generator):
            return choose_seeds(generator.initial_seed() % (LARGEST_SEED - count), None, count)
        if len(generator) != count:
            raise SettingsError(f"{len(generator)} generators for {count} videos; give one for all, or one for each")
        return [g.initial_seed() for g in generator]
    if seed is None:
        seed = secrets.randbelow(2**31)
    if not 0 <= seed <= LARGEST_SEED - count:
        raise SettingsError(f"seed {seed} is out of range; use 0 to {LARGEST_SEED - count}")
    return [seed + k for k in range(count)]


def check_settings(settings: CascadeSettings, networks: Mapping[str, Any], stop_after: str) -> None:
    """Raise SettingsError for sizes that a network cannot take, naming the nearest that it can, and for a latent stage without steps."""
    latent = settings.latent
    if stop_after == "latent" and latent.steps_run() < 1:
        raise SettingsError(f"latent: {latent.steps} steps at strength {latent.strength} leave no step to run; raise one of them")
    pixel = settings.stage_sizes()["pixel"]
    for name, size, network in (
        ("keyframe_size", settings.keyframe_size, "keyframes_unet"),
        ("keyframe_size", settings.keyframe_size, "interpolation_unet"),
        ("keyframe_size times pixel_scale", pixel, "first_frame_unet"),
        ("keyframe_size times pixel_scale", pixel, "pixel_upscale_unet"),
        ("final_size", settings.final_size, "vae"),  # the latent network itself takes any size
    ):
        multiple = 2 ** (len(networks[network].config.block_out_channels) - 1)
        if any(side < multiple or side % multiple for side in size):
            nearest = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in size)
            raise SettingsError(
                f"{name} {size[0]}x{size[1]} does not fit the model: sides must be multiples of {multiple}, such as {nearest}"
            )


def upright(image: Any) -> Image.Image:
    """A picture as it is to be seen, RGB: turned as the camera says, with transparent parts white.

    Raises:
        SettingsError: not a picture.
    """
    if not isinstance(image, Image.Image):
        raise SettingsError(f"image must be a PIL picture, not {type(image).__name__}")
    turned = ImageOps.exif_transpose(image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned).convert("RGB")


def cover(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """A picture as one frame [1, 3, 1, H, W] in [-1, 1] of `size` (width, height).

    What sticks out beyond the size's proportions is cut off evenly.
    """
    fitted = ImageOps.fit(upright(image), size, Image.Resampling.LANCZOS)
    return from_uint8(torch.from_numpy(np.array(fitted))[None, None])


def as_output(video: Tensor, output_type: str) -> Frames:
    """Videos [B, 3, F, H, W] in [-1, 1] as pictures (`pil`), [B, F, H, W, 3] in [0, 1] (`np`) or [B, F, 3, H, W] in [0, 1] (`pt`)."""
    if output_type == "pil":
        return [to_pil(one) for one in video]
    unit = (video.float() * 0.5 + 0.5).clamp(0, 1)
    if output_type == "pt":
        return unit.transpose(1, 2)
    return unit.permute(0, 2, 3, 4, 1).cpu().numpy()
