"""Finished training runs -> one pipeline's folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from show1.cascade.pipeline import Show1Pipeline
from show1.cascade.settings import CascadeSettings
from show1.errors import SettingsError
from show1.models.loading import load_network, load_scheduler, load_tokenizer, load_transformer, read_json
from show1.models.unet import PixelUNet
from show1.training.tokenizers import SPACE
from show1.worlds.vocabulary import MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE

NETWORKS: dict[str, tuple[str, Any]] = {
    "keyframes_unet": ("keyframes", PixelUNet),
    "interpolation_unet": ("interpolation", PixelUNet),
    "first_frame_unet": ("first-frame", UNet2DConditionModel),
    "pixel_upscale_unet": ("pixel", PixelUNet),
    "latent_unet": ("latent", UNet3DConditionModel),
    "vae": ("vae", AutoencoderKL),
    "text_encoder": ("keyframes-image-objects", T5EncoderModel),
    "latent_text_encoder": ("latent-text", CLIPTextModel),
    "tokenizer": ("keyframes-image-objects", T5Tokenizer),
    "latent_tokenizer": ("latent-text", CLIPTokenizer),
}
SCHEDULERS = {
    "keyframes_scheduler": "keyframes",
    "interpolation_scheduler": "interpolation",
    "first_frame_scheduler": "first-frame",
    "first_frame_noising_scheduler": "first-frame",
    "pixel_upscale_scheduler": "pixel",
    "pixel_upscale_noising_scheduler": "pixel",
    "latent_scheduler": "latent",
}
"""Component -> run (a folder under `runs`) that made it."""


def read_settings_file(path: Path) -> CascadeSettings:
    """Sampling settings from a TOML file.

    Raises:
        SettingsError: unreadable, or an unknown or impossible setting.
    """
    try:
        return CascadeSettings.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise SettingsError(f"cannot use the settings in '{path}': {error}") from error


def vocabulary(runs: Path, tokenizer: Any) -> dict[str, list[str]]:
    """What the keyframe network was trained to draw, and the words of its captions, each a piece of its tokenizer."""
    data = read_json(runs / "keyframes" / "final" / "training.json")["config"]["data"]
    return {
        "objects": list(data["objects"] or OBJECT_TABLE),
        "places": [*PLACE_TABLE, "night"],
        "motions": list(data["motions"] or MOTION_TABLE),
        "counts": [str(number) for number in range(1, data["max_count"] + 1)],
        "words": sorted(piece[1:] for piece in tokenizer.get_vocab() if piece.startswith(SPACE) and piece[1:].isalpha()),
    }


def assemble_pipeline(runs: Path, settings: Path, output: Path) -> Path:
    """Gather the components of all runs' `final` folders and write a pipeline, weights in 16 bits.

    Raises:
        CheckpointError: a run is missing or incomplete.
    """
    parts: dict[str, Any] = {}
    for name, (run, cls) in NETWORKS.items():
        folder = runs / run / "final" / name
        if name.endswith("tokenizer"):
            parts[name] = load_tokenizer(cls, folder)
        elif name.endswith("text_encoder"):
            parts[name] = load_transformer(cls, folder, dtype=torch.float16)
        else:
            parts[name] = load_network(cls, folder, dtype=torch.float16)
    for name, run in SCHEDULERS.items():
        parts[name] = load_scheduler(runs / run / "final" / name)
    pipeline = Show1Pipeline(**parts, settings=read_settings_file(settings), vocabulary=vocabulary(runs, parts["tokenizer"]))
    pipeline.save_pretrained(output)
    spiece = runs / "keyframes-image-objects" / "final" / "tokenizer" / "spiece.model"
    (output / "tokenizer" / "spiece.model").write_bytes(spiece.read_bytes())
    return output
