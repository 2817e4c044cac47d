"""Strict loading of components: every weight must be there, of the right shape, and nothing else; pickles are never executed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import diffusers
import torch
from diffusers import AutoencoderTiny
from safetensors import SafetensorError
from torch import Tensor, nn

from show1.errors import CheckpointError, SettingsError
from show1.models.reading import read_json, read_weights, short

M = TypeVar("M", bound=nn.Module)

WEIGHT_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")
OLD_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of the VAE's attention layers before diffusers 0.18."""
SHOWN = 5
"""Names listed in an error."""


def weight_files(folder: Path, variant: str | None) -> list[Path]:
    """The files that hold a component's weights, sharded or not.

    safetensors come before pickles, the wanted variant before the plain one; a folder that has only another variant's
    files gives those (the published folders mix them).

    Raises:
        CheckpointError: none there.
    """
    found = sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
    variants = [v for v in dict.fromkeys([variant, None, "fp16"]) if v is None or v]
    for kind in ("safetensors", "bin"):
        for choice in variants:
            middle = f".{choice}" if choice else ""
            for base in WEIGHT_NAMES:
                for name in (f"{base}.{kind}.index{middle}.json", f"{base}{middle}.{kind}.index.json"):
                    if name in found:
                        shards = set(read_json(folder / name).get("weight_map", {}).values())
                        return [folder / shard for shard in sorted(shards)]
                if f"{base}{middle}.{kind}" in found:
                    return [folder / f"{base}{middle}.{kind}"]
    raise CheckpointError(f"no weights in '{folder}': expected {WEIGHT_NAMES[0]}.safetensors, a .bin, or their fp16 variants")


def _renamed(weights: dict[str, Tensor], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the VAE's old attention names, and drop buffers that newer libraries compute."""
    result = {}
    for name, tensor in weights.items():
        parts = name.split(".")
        if name not in known and len(parts) > 1 and parts[-2] in OLD_VAE_ATTENTION:
            name = ".".join([*parts[:-2], OLD_VAE_ATTENTION[parts[-2]], parts[-1]])
            tensor = tensor.reshape(known[name].shape) if name in known and tensor.numel() == known[name].numel() else tensor
        if not name.endswith("position_ids"):
            result[name] = tensor
    return result


def check_weights(weights: Mapping[str, Tensor], known: Mapping[str, Tensor], where: Path) -> None:
    """Raise CheckpointError naming weights that are missing, unexpected or of another shape."""
    problems = {
        "missing": [n for n in known if n not in weights],
        "unexpected": [n for n in weights if n not in known],
        "of another shape": [
            f"{n} {list(w.shape)}, expected {list(known[n].shape)}" for n, w in weights.items() if n in known and w.shape != known[n].shape
        ],
    }
    told = []
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            told.append(f"{len(names)} {problem}: {', '.join(names[:SHOWN])}{more}")
    if told:
        raise CheckpointError(f"the weights in '{where}' do not fit their config: " + "; ".join(told))


def make_empty(cls: type[M], folder: Path, changes: Mapping[str, Any] | None = None) -> M:
    """A network of a folder's config.json on the meta device, without weights; `changes` go in place of its values.

    Raises:
        CheckpointError: missing or unreadable config, or one that no network can be made of.
    """
    config = {**read_json(folder / "config.json"), **(changes or {})}
    if cls is AutoencoderTiny:
        config.pop("block_out_channels", None)  # it writes this, and warns of what it does not know when it reads it
    try:
        with torch.device("meta"):
            return cls.from_config(config)  # type: ignore[attr-defined]
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"no network can be made of '{folder / 'config.json'}': {short(error)}") from error


def make_empty_transformer(cls: Any, folder: Path) -> Any:
    """A text encoder of a folder's config.json on the meta device, without weights.

    Raises:
        CheckpointError: missing or unreadable config, or one that no text encoder can be made of.
    """
    read_json(folder / "config.json")
    try:
        with torch.device("meta"):
            return cls(cls.config_class.from_pretrained(folder))
    except (OSError, TypeError, ValueError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"no text encoder can be made of '{folder / 'config.json'}': {short(error)}") from error


def load_network(
    cls: type[M],
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    variant: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> M:
    """Load a diffusers network from its folder, in eval mode.

    Args:
        cls: the network's class; the class named in config.json is not consulted.
        folder: holds config.json and the weights.
        dtype: what to hold the weights in.
        variant: `fp16` to prefer such files.
        changes: values in place of those in config.json.

    Raises:
        CheckpointError: missing or unreadable files, or weights that do not fit the config, with their names.
    """
    network = make_empty(cls, folder, changes)
    known = network.state_dict()
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder, variant):
        weights |= read_weights(path, dtype)
    weights = _renamed(weights, known)
    check_weights(weights, known, folder)
    network.load_state_dict(weights, assign=True)
    return network.eval()


def load_scheduler(folder: Path, **overrides: Any) -> Any:
    """Load a diffusers scheduler of the class that its config names.

    Raises:
        CheckpointError: missing or unreadable config, or no such scheduler.
    """
    config = read_json(folder / "scheduler_config.json")
    name = str(config.get("_class_name"))
    if not name.endswith("Scheduler") or not hasattr(diffusers, name):
        raise CheckpointError(f"'{folder}' names the scheduler '{name}', which diffusers {diffusers.__version__} does not have")
    return getattr(diffusers, name).from_config({**config, **overrides})


def can_quantise() -> bool:
    """Whether torchao is installed, which holds text encoders in 8 bits."""
    return find_spec("torchao") is not None


def in_8_bits() -> Any:
    """How transformers is to hold the matrices of a text encoder: in 8 bits with a scale a row, multiplied in the dtype that was asked for.

    Raises:
        SettingsError: torchao is not installed.
    """
    if not can_quantise():
        raise SettingsError('a text encoder in 8 bits needs torchao: pip install "show1[int8]"')
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def load_transformer(cls: Any, folder: Path, *, dtype: torch.dtype = torch.float32, variant: str | None = None, int8: bool = False) -> Any:
    """Load a text encoder with transformers, strictly and without executing pickles, in eval mode; see `in_8_bits` for `int8`.

    Raises:
        CheckpointError: missing or unreadable files, or missing weights, with their names.
        SettingsError: it cannot be held in 8 bits here.
    """
    wide = getattr(cls, "_keep_in_fp32_modules", None) or () if dtype == torch.float16 else ()
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder, variant):
        weights |= read_weights(path, dtype, wide)
    try:
        encoder, info = cls.from_pretrained(
            None,
            config=cls.config_class.from_pretrained(folder),
            state_dict=weights,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused below, by name
            quantization_config=in_8_bits() if int8 else None,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"cannot load the text encoder in '{folder}': {short(error)}") from error
    missing = sorted(n for n in info["missing_keys"] if not n.endswith("position_ids"))
    shapes = [str(key) for key in info.get("mismatched_keys", ())]
    if missing or shapes:
        raise CheckpointError(
            f"the weights in '{folder}' do not fit their config: missing {missing[:SHOWN]}, other shapes {shapes[:SHOWN]}"
        )
    return encoder.eval()


def load_tokenizer(cls: Any, folder: Path) -> Any:
    """Load a tokenizer with transformers.

    Raises:
        CheckpointError: missing or unreadable files.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no tokenizer folder '{folder}'")
    try:
        return cls.from_pretrained(folder)
    except Exception as error:  # tokenizers raise bare Exceptions
        raise CheckpointError(f"cannot load the tokenizer in '{folder}': {short(error)}") from error
