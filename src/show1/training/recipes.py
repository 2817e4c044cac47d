"""What is learned of a motion or a style, by which network of a pipeline, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from show1 import __version__
from show1.cascade.folder import best_device, best_dtype
from show1.cascade.settings import CascadeSettings
from show1.errors import SettingsError
from show1.models.reading import read_json
from show1.training.clips import USUAL_SIZES
from show1.training.config import AdapterConfig, DataConfig, TrainConfig

USUAL: dict[str, Any] = {
    "warmup_steps": 10,
    "weight_decay": 0.0,
    "ema_decay": 0.99,
    "min_snr_gamma": 0,
    "temporal_dropout": 0.0,
    "log_with": (),
    "checkpoint_every": 50,
    "keep_checkpoints": 1,
}
MOTION: dict[str, Any] = {"steps": 400, "batch_size": 1, "learning_rate": 1e-3, "moving_weight": 8.0}
"""Taught at all timesteps, at which it acts: at noisy ones alone it cost objects."""
STYLE: dict[str, Any] = {"steps": 300, "batch_size": 8, "learning_rate": 5e-4, "decay_steps": 150, "crop": (128, 128)}
LEARNERS = {"motion": ("keyframes", "keyframes_unet"), "style": ("vae", "vae")}
"""The stage that learns each kind, and its network's name in a pipeline."""
NARROW = 128
"""Channels up to which a network's layers change in full: a change of low rank would hardly be smaller."""
KINDS = tuple(LEARNERS)


@dataclass(frozen=True)
class Asked:
    """What somebody wants to be learned."""

    kind: str
    """One of KINDS."""
    prompt: str | None
    base_model: str
    """What the pipeline is called."""
    layers: tuple[str, ...] | None = None
    """Groups or modules that change; None for the recipe's."""
    rank: int | None = None
    """Of each layer's change; None for the recipe's."""
    changes: Mapping[str, Any] | None = None
    """Keys of `TrainConfig`; one that is None stays as the recipe has it."""


def recipe(kind: str, network: Mapping[str, Any]) -> tuple[AdapterConfig, dict[str, Any]]:
    """What changes in the network with this config that learns a kind, and how it is learned where nobody says otherwise.

    A motion changes the keyframe network's attention over time, as the Show-1 paper does. In a network that is told each frame's moment,
    the moments' layers tell the others where to draw things, so that these change too. A style changes the VAE's decoder, behind everything
    that decides what is to be seen and where: it learns the style's pictures from latents of the same pictures in other colours.
    `benchmarks/customise.py` measures what comes of it.
    """
    if kind == "style":
        widths = network.get("decoder_block_out_channels") or network["block_out_channels"]
        return AdapterConfig(layers=("decoder",), rank=0 if max(widths) <= NARROW else 16), dict(STYLE)
    if network.get("class_embed_type") == "timestep":
        return AdapterConfig(layers=("moments", "temporal-attention")), {**MOTION, "layout_weight": 1.0}
    return AdapterConfig(layers=("temporal-attention",)), dict(MOTION)


def make_config(asked: Asked, folder: Path, source: Path) -> TrainConfig:
    """The run that learns what is asked for from the clips that `source` lists, for the pipeline in `folder`.

    Raises:
        SettingsError: no such kind, or a value that cannot work.
    """
    if asked.kind not in KINDS:
        raise SettingsError(f"cannot learn a '{asked.kind}'; known: {', '.join(KINDS)}")
    stage, component = LEARNERS[asked.kind]
    adapter, usual = recipe(asked.kind, read_json(folder / component / "config.json"))
    changes = given(asked.changes or {})
    settings = CascadeSettings.from_dict(read_json(folder / "model_index.json")["settings"])
    about = given({"kind": asked.kind, "prompt": asked.prompt, "base_model": asked.base_model, "show1": __version__})
    values: dict[str, Any] = {
        "precision": usual_precision(),
        "text_tokens": settings.max_text_tokens,
        "start": {name: str(folder / part) for name, part in start_of(stage, component).items()},
        "data": DataConfig(source=str(source), buckets=None if settings.keyframe_size == USUAL_SIZES.low else (settings.keyframe_size,)),
        "adapter": replace(adapter, about=about, **given({"layers": asked.layers, "rank": asked.rank})),
    }
    return TrainConfig(stage=stage, **{**USUAL, **usual, **values, **fitted(stage, usual, settings), **changes})


def start_of(stage: str, component: str) -> dict[str, str]:
    """The components that a run starts from, by what [start] calls them."""
    if stage == "vae":
        return {"network": component}
    parts = {"scheduler": component.replace("_unet", "_scheduler"), "text_encoder": "text_encoder", "tokenizer": "tokenizer"}
    return {"network": component, **parts}


def fitted(stage: str, usual: Mapping[str, Any], settings: CascadeSettings) -> dict[str, Any]:
    """What of a recipe depends on how the pipeline is used: windows, pictures no larger than its own."""
    if stage == "keyframes":
        return {"frames": min(settings.num_keyframes, settings.keyframe_window)}
    width, height = settings.stage_sizes()["latent"]
    return {"crop": (min(usual["crop"][0], height), min(usual["crop"][1], width))}


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def usual_precision() -> str:
    """bf16 where the device multiplies in it."""
    device = best_device()
    quick = torch.cuda.is_bf16_supported() if device.type == "cuda" else best_dtype(device) == torch.bfloat16
    return "bf16" if quick else "no"
