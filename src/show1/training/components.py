"""What a run trains: components made from a config, or loaded from where the run starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

from show1.cascade.folder import BUNDLED
from show1.errors import CheckpointError, SettingsError
from show1.models.autoencoders import vae_kind
from show1.models.inflate import inflate, with_labels, with_temporal
from show1.models.loading import load_network, load_scheduler
from show1.models.reading import read_json
from show1.models.unet import PixelUNet
from show1.training.config import TrainConfig

FROM_BUNDLED = "bundled:"
NETWORKS: dict[str, Any] = {
    "layout": diffusers.UNet2DConditionModel,
    "keyframes-image": diffusers.UNet2DConditionModel,
    "keyframes": PixelUNet,
    "interpolation": PixelUNet,
    "first-frame": diffusers.UNet2DConditionModel,
    "pixel": PixelUNet,
    "latent": diffusers.UNet3DConditionModel,
}
VIDEO_NETWORKS = (PixelUNet, diffusers.UNet3DConditionModel)


def resolve_start(place: str, base: Path) -> Path:
    """A place named in `start`: a folder relative to `base`, or `bundled:vae` for that component of the model in the package."""
    return BUNDLED / place.removeprefix(FROM_BUNDLED) if place.startswith(FROM_BUNDLED) else base / place


def start_folder(config: TrainConfig, name: str, base: Path) -> Path | None:
    """The folder a component starts from, if the config names one; of a whole model's folder (DeepFloyd's, say) the UNet is meant."""
    if name not in config.start:
        return None
    folder = resolve_start(config.start[name], base)
    if name == "network" and not (folder / "config.json").is_file() and (folder / "unet" / "config.json").is_file():
        return folder / "unet"
    return folder


def make_network(config: TrainConfig, base: Path) -> nn.Module:
    """The stage's network: loaded from `start.network` (an image network is inflated for a video stage, with the temporal layers of
    `start.temporal` where that is named), or new.

    A loaded network's config is changed by the keys in `network`; its weights must still fit.
    """
    folder = start_folder(config, "network", base)
    wanted = _vae_class(config, folder) if config.stage == "vae" else NETWORKS[config.stage]
    if folder is None:
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            return wanted.from_config(dict(config.network))
    if wanted in VIDEO_NETWORKS and _class_name(folder) == "UNet2DConditionModel":
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            network = inflate(_load(diffusers.UNet2DConditionModel, folder, config), wanted, folder)
        temporal = start_folder(config, "temporal", base)
        return network if temporal is None else with_temporal(network, load_network(wanted, temporal), temporal)
    return _load(wanted, folder, config)


def _load(cls: Any, folder: Path, config: TrainConfig) -> nn.Module:
    """A network with the config's changes; labels that it did not read are ignored at the start."""
    changes = dict(config.network)
    labels = changes.pop("class_embed_type", None)
    network = load_network(cls, folder, changes=changes)
    if labels is None or dict(network.config).get("class_embed_type") == labels:  # type: ignore[arg-type]
        return network
    if labels != "timestep":
        raise SettingsError(f"[network] class_embed_type is '{labels}'; use timestep")
    return with_labels(network)


def _class_name(folder: Path) -> str:
    return str(read_json(folder / "config.json").get("_class_name"))


def _vae_class(config: TrainConfig, folder: Path | None) -> Any:
    """Of the kind that `start.network` or `_class_name` in `network` names."""
    if folder is not None:
        return vae_kind(read_json(folder / "config.json"), f"'{folder}'")
    try:
        return vae_kind(config.network, "[network]")
    except CheckpointError as error:
        raise SettingsError(str(error)) from error


def make_scheduler(config: TrainConfig, base: Path) -> Any:
    """The stage's sampling scheduler, which also defines its noise schedule in training."""
    folder = start_folder(config, "scheduler", base)
    if folder is not None:
        return load_scheduler(folder)
    values = dict(config.scheduler)
    name = values.pop("_class_name", None)
    if not name or not hasattr(diffusers, name):
        raise SettingsError(f"[scheduler] needs the `_class_name` of a diffusers scheduler, not {name!r}")
    return getattr(diffusers, name).from_config(values)
