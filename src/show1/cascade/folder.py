"""Loading a saved pipeline's folder strictly: every component's weights must all be there and fit."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from show1.errors import CheckpointError
from show1.models.loading import load_network, load_scheduler, load_tokenizer, load_transformer
from show1.models.outline import Outline, read_outline
from show1.models.reading import read_json
from show1.models.unet import PixelUNet

BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
"""The model that comes with the package."""
CLASSES = {"PixelUNet": PixelUNet}
KEPT_CONFIG = ("settings", "vocabulary", "training", "licence")


def best_device() -> torch.device:
    """cuda, mps or cpu, whichever is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def best_dtype(device: torch.device) -> torch.dtype:
    """float16 on a GPU, as published; bfloat16 on a CPU that multiplies in it; else float32."""
    if device.type != "cpu":
        return torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else torch.float32


def find_folder(
    name: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None, local_files_only: bool = False
) -> Path:
    """A local folder, or a hub repository's snapshot.

    Raises:
        CheckpointError: neither.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = snapshot_download(str(name), revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(f"'{name}' is neither a folder nor a repository on the hub that you can read (some need a login)") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"'{name}' is no folder here and could not be downloaded: {str(error).splitlines()[0]}") from error
    return Path(folder)


def load_component(folder: Path, library: str, class_name: str, *, dtype: torch.dtype, variant: str | None, int8: bool = False) -> Any:
    """Load one component of a pipeline's folder by the class that `model_index.json` names for it.

    Only classes of show1, diffusers and transformers are taken, whatever module the file names.
    """
    if class_name.endswith("Scheduler"):
        return load_scheduler(folder)
    if "Tokenizer" in class_name:
        return load_tokenizer(_class("transformers", class_name), folder)
    if library == "transformers":
        return load_transformer(_class("transformers", class_name), folder, dtype=dtype, variant=variant, int8=int8)
    cls = CLASSES.get(class_name) or _class("diffusers", class_name)
    return load_network(cls, folder, dtype=dtype, variant=variant)


def load_outline(folder: Path, library: str, class_name: str, dtype: torch.dtype) -> Outline:
    """What is known of a component's network without its weights."""
    cls = _class("transformers", class_name) if library == "transformers" else CLASSES.get(class_name) or _class("diffusers", class_name)
    return read_outline(cls, folder, dtype)


def _class(library: str, name: str) -> Any:
    cls = getattr(importlib.import_module(library), name, None)
    if cls is None:
        raise CheckpointError(f"{library} has no class '{name}', which the model's model_index.json names")
    return cls


def load_pipeline(
    cls: Any,
    name: str | Path | None = None,
    *,
    dtype: torch.dtype | None = None,
    torch_dtype: torch.dtype | None = None,
    variant: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    outlines: Collection[str] = (),
    int8_text_encoder: bool = False,
    **components: Any,
) -> Any:
    """Load a pipeline that `save_pretrained` wrote.

    Args:
        name: a local folder or a hub id; None for the bundled model.
        dtype: what to hold weights in; float32 where none is given. `torch_dtype` is its older name.
        variant: prefer weight files of this variant, e.g. `fp16`.
        revision, cache_dir, local_files_only: as in `huggingface_hub.snapshot_download`.
        outlines: networks whose weights are not loaded; stages that need them cannot be run.
        int8_text_encoder: hold T5 in 8 bits, in a quarter to a half of the memory; its embeddings change by about a hundredth. Needs torchao.
        components: ready ones to take instead of loading them, e.g. `text_encoder=None`.

    Raises:
        CheckpointError: what is missing or does not fit, with its name.
    """
    folder = find_folder(name or BUNDLED, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
    index = read_json(folder / "model_index.json")
    wanted = {key: value for key, value in index.items() if isinstance(value, list) and len(value) == 2}
    for key, (library, class_name) in wanted.items():
        if key in components:
            continue
        components[key] = None
        if class_name is not None and key in outlines:
            components[key] = load_outline(folder / key, str(library), str(class_name), dtype or torch_dtype or torch.float32)
        elif class_name is not None:
            options = {
                "dtype": dtype or torch_dtype or torch.float32,
                "variant": variant,
                "int8": int8_text_encoder and key == "text_encoder",
            }
            components[key] = load_component(folder / key, str(library), str(class_name), **options)
    for key in KEPT_CONFIG:
        components.setdefault(key, index.get(key))
    try:
        pipeline = cls(**components)
    except TypeError as error:
        raise CheckpointError(f"'{folder}' is not a Show-1 pipeline: {error}") from error
    pipeline.register_to_config(_name_or_path=str(name or "bundled"))
    return pipeline
