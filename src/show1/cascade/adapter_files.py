"""An adapter's folder: a small change of a pipeline's networks, in files of its own.

It holds `pytorch_lora_weights.safetensors` with two factors for each changed layer, as peft and diffusers
name them (`keyframes_unet.….to_q.lora_A.weight` and `.lora_B.weight`, whose product is the change; Hu et al. 2021, "LoRA"),
and `adapter.json`, which says what it is for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from show1.errors import CheckpointError
from show1.models.loading import SHOWN
from show1.models.reading import read_json, read_weights

WEIGHTS, RECORD = "pytorch_lora_weights.safetensors", "adapter.json"
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

Place = tuple[str, str]
"""A component, and the name of a layer in it."""


@dataclass(frozen=True)
class Factors:
    """The change of one layer's weight [out, in, ...] as a product."""

    down: Tensor
    """[rank, in, ...]"""
    up: Tensor
    """[out, rank], with as many 1s behind as a convolution's kernel has sides."""

    def change(self) -> Tensor:
        """[out, in, ...] in float32."""
        return (self.up.float().flatten(1) @ self.down.float().flatten(1)).unflatten(1, self.down.shape[1:])

    def fit(self, weight: Tensor) -> bool:
        """Whether the change has a weight's shape."""
        up, down = self.up, self.down
        shapes = (weight.shape[0], down.shape[0], *[1] * (weight.ndim - 2)), (down.shape[0], *weight.shape[1:])
        return (up.shape, down.shape) == shapes


@dataclass(frozen=True)
class Adapter:
    """An adapter as it was read."""

    where: Path
    record: Mapping[str, Any]
    """`adapter.json`."""
    layers: Mapping[Place, Factors]


def write_adapter(folder: Path, layers: Mapping[Place, Factors], record: Mapping[str, Any]) -> None:
    """Write an adapter's two files, the factors in 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for (component, layer), factors in layers.items():
        for ending, tensor in ((DOWN, factors.down), (UP, factors.up)):
            tensors[f"{component}.{layer}{ending}"] = tensor.detach().to("cpu", torch.float16).contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / RECORD).write_text(json.dumps(dict(record), indent=1) + "\n", encoding="utf-8")


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder. Pickles are never opened.

    Raises:
        CheckpointError: files missing or damaged, or factors that are not in pairs.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        more = f"; '{pickles[0]}' is a pickle, which could run code: save the adapter as safetensors" if pickles else ""
        raise CheckpointError(f"there is no adapter in '{folder}': expected {WEIGHTS} and {RECORD}{more}")
    tensors = read_weights(path)
    stems = {name.removesuffix(DOWN).removesuffix(UP) for name in tensors}
    odd = sorted(set(tensors) ^ {stem + ending for stem in stems for ending in (DOWN, UP)})
    if odd or not stems:
        raise CheckpointError(f"'{path}' does not hold pairs of {DOWN[1:]} and {UP[1:]}: {', '.join(odd[:SHOWN]) or 'it is empty'}")
    layers = {}
    for stem in sorted(stems):
        component, _, layer = stem.partition(".")
        layers[component, layer] = Factors(tensors[stem + DOWN], tensors[stem + UP])
    return Adapter(folder, read_json(folder / RECORD), layers)
