"""Finished training runs -> one pipeline's folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from show1.cascade.pipeline import Show1Pipeline
from show1.cascade.settings import CascadeSettings
from show1.errors import SettingsError
from show1.models.autoencoders import load_vae
from show1.models.loading import load_network, load_scheduler, load_tokenizer, load_transformer
from show1.models.reading import read_json
from show1.models.unet import PixelUNet
from show1.training.components import resolve_start
from show1.training.tokenizers import SPACE, SPIECE
from show1.worlds.vocabulary import MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE

NETWORKS: dict[str, tuple[str, Any]] = {
    "keyframes_unet": ("keyframes", PixelUNet),
    "interpolation_unet": ("interpolation", PixelUNet),
    "first_frame_unet": ("first-frame", UNet2DConditionModel),
    "pixel_upscale_unet": ("pixel", PixelUNet),
    "latent_unet": ("latent", UNet3DConditionModel),
    "vae": ("vae", None),  # of either kind
    "text_encoder": ("keyframes", T5EncoderModel),
    "latent_text_encoder": ("latent", CLIPTextModel),
    "tokenizer": ("keyframes", T5Tokenizer),
    "latent_tokenizer": ("latent", CLIPTokenizer),
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
"""Component -> run (a folder under `runs`) that made or used it."""
REWORDING = "rewording"
"""Run that taught T5 more after the networks had learned from it; there need not be one."""


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
    """What the keyframe network was trained to draw, and the words of its captions, each a piece of its tokenizer; nothing for users' clips."""
    data = read_json(runs / "keyframes" / "final" / "training.json")["config"]["data"]
    if data.get("source"):
        return {}  # open: captions of recorded clips say anything
    return {
        "objects": list(data["objects"] or OBJECT_TABLE),
        "places": [*PLACE_TABLE, "night"],
        "motions": list(data["motions"] or MOTION_TABLE),
        "counts": [str(number) for number in range(1, data["max_count"] + 1)],
        "words": sorted(piece[1:] for piece in tokenizer.get_vocab() if piece.startswith(SPACE) and any(map(str.isalnum, piece))),
    }


def component_folder(runs: Path, run: str, name: str) -> Path:
    """Where a run's component is: in its `final` folder, or, for a text encoder or tokenizer it did not train, where it started from.

    Raises:
        CheckpointError: the run is missing or incomplete.
    """
    own = runs / run / "final" / name
    config = read_json(runs / run / "final" / "training.json")["config"]
    start = config["start"].get(name.removeprefix("latent_"))
    return own if own.is_dir() or start is None else resolve_start(start, runs)


def run_of(name: str, runs: Path) -> str:
    """The run that a network, text encoder or tokenizer is taken from."""
    reworded = name in ("text_encoder", "tokenizer") and (runs / REWORDING / "final").is_dir()
    return REWORDING if reworded else NETWORKS[name][0]


def run_records(runs: Path) -> dict[str, Any]:
    """What each run that a pipeline is made of says of itself, for the model card."""
    names = dict.fromkeys([*(run for run, _ in NETWORKS.values()), *(run_of(name, runs) for name in NETWORKS), *SCHEDULERS.values()])
    return {run: read_json(runs / run / "final" / "training.json") for run in names}


def assemble_pipeline(runs: Path, settings: Path, output: Path, licence: str | None = None) -> Path:
    """Gather the components of all runs' `final` folders and write a pipeline, weights in 16 bits, with a card that tells of the runs.

    Raises:
        CheckpointError: a run is missing or incomplete.
    """
    parts: dict[str, Any] = {}
    folders = {name: component_folder(runs, run_of(name, runs), name) for name in NETWORKS}
    for name, (_, cls) in NETWORKS.items():
        if name.endswith("tokenizer"):
            parts[name] = load_tokenizer(cls, folders[name])
        elif name.endswith("text_encoder"):
            parts[name] = load_transformer(cls, folders[name]).half()  # loaded as float16, T5 would keep some layers in float32
        elif name == "vae":
            parts[name] = load_vae(folders[name], dtype=torch.float16)
        else:
            parts[name] = load_network(cls, folders[name], dtype=torch.float16)
    for name, run in SCHEDULERS.items():
        parts[name] = load_scheduler(runs / run / "final" / name)
    known: dict[str, Any] = {"vocabulary": vocabulary(runs, parts["tokenizer"]), "training": run_records(runs), "licence": licence}
    pipeline = Show1Pipeline(**parts, settings=read_settings_file(settings), **known)
    pipeline.save_pretrained(output)
    (output / "tokenizer" / SPIECE).write_bytes((folders["tokenizer"] / SPIECE).read_bytes())
    return output
