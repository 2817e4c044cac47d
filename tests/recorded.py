"""The recorded runs of the published code, with networks whose weights follow from their parameter names."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from torch import Tensor, nn

from show1.cascade.published import AS_PUBLISHED
from show1.cascade.settings import SamplerSettings
from show1.cascade.stage import Sampler, Text
from show1.models.unet import PixelUNet
from tiny import named

DATA = Path(__file__).parent / "data"
FOLDERS = {"parity": DATA, **{name: DATA / name for name in ("variant_b", "variant_c", "variant_d")}}
CLASSES: dict[str, Any] = {
    "base": PixelUNet,
    "interpolation": PixelUNet,
    "sr1": PixelUNet,
    "sr1_image": UNet2DConditionModel,
    "sr2": UNet3DConditionModel,
    "vae": AutoencoderKL,
}


@dataclass(frozen=True)
class Record:
    """One recorded run."""

    configs: dict[str, Any]
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    networks: dict[str, nn.Module]

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    @property
    def text(self) -> Text:
        return Text(self["prompt_embeds"], self["negative_prompt_embeds"])

    @property
    def seeds(self) -> list[int]:
        return [self.meta["seed"]]

    def scheduler(self, name: str) -> Any:
        """A stage's scheduler, as published checkpoints are read."""
        config = dict(self.configs["schedulers"][name])
        cls = getattr(diffusers, config.pop("_class_name"))
        return cls.from_config({**config, **(AS_PUBLISHED if "DPMSolver" in cls.__name__ else {})})

    def sampler(self, stage: str, network: str, **settings: Any) -> Sampler:
        """A stage's network with its scheduler and the recorded steps and guidance."""
        chosen = SamplerSettings(steps=self.meta["steps"][stage], guidance=self.meta["guidance"][stage], **settings)
        return Sampler(self.networks[network], self.scheduler(network), chosen)


@cache
def read_record(name: str) -> Record:
    values = json.loads((FOLDERS[name] / "configs.json").read_text())
    with np.load(FOLDERS[name] / "golden.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    networks = {key: named(cls.from_config(values["configs"][key])) for key, cls in CLASSES.items()}
    return Record(values["configs"], values["meta"], arrays, networks)
