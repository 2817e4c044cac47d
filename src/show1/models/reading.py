"""Files of a model: JSON, and weights without executing pickles."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from show1.errors import CheckpointError

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""As safetensors name them."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: missing or malformed.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read '{path}': {error.strerror or error}") from error
    except ValueError as error:
        raise CheckpointError(f"'{path}' is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"'{path}' must hold a JSON object")
    return values


def read_weights(path: Path, dtype: torch.dtype | None = None, wide: Collection[str] = ()) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file, or from a .bin read weights-only.

    Args:
        path: the file.
        dtype: what to hold numbers with a fraction in; what the file has where not given.
        wide: parts of names that stay as the file has them in any case.

    Raises:
        CheckpointError: missing, truncated, in a dtype that is not read, or a pickle that holds more than weights.
    """

    def held(name: str, kind: torch.dtype) -> torch.dtype:
        stays = dtype is None or not kind.is_floating_point or set(wide) & set(name.split("."))
        return kind if stays else dtype

    try:
        if path.suffix == ".safetensors":
            return dict(_tensors(path, held))
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"cannot read the weights '{path}': {short(error)}; download the file again") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"'{path}' holds more than weights and was not loaded (it could run code): {short(error)}") from error
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise CheckpointError(f"'{path}' does not hold tensors by name")
    return {name: tensor.to(held(name, tensor.dtype)) for name, tensor in weights.items()}


def _tensors(path: Path, held: Callable[[str, torch.dtype], torch.dtype]) -> Iterator[tuple[str, Tensor]]:
    """Read one after the other. Mapped, as safetensors does it, the file would count as memory beside the weights, and its tensors
    lie unaligned, which changes the last bits of what kernels compute."""
    with safe_open(path, framework="pt"):  # sound, and as long as it should be
        pass
    scratch = torch.empty(0, dtype=torch.uint8)  # one for all that change their dtype: many would leave holes in memory
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            if entry["dtype"] not in DTYPES:
                raise CheckpointError(f"'{name}' in '{path}' is held in {entry['dtype']}: convert it to float16, bfloat16 or float32")
            kind, size = DTYPES[entry["dtype"]], entry["data_offsets"][1] - entry["data_offsets"][0]
            if held(name, kind) == kind:
                data = torch.empty(size, dtype=torch.uint8)
            else:
                scratch = scratch if len(scratch) >= size else torch.empty(size, dtype=torch.uint8)
                data = scratch[:size]
            if file.readinto(data.numpy()) != size:
                raise EOFError(f"it ends within '{name}'")
            yield name, data.view(kind).reshape(entry["shape"]).to(held(name, kind))


def short(error: Exception) -> str:
    """The first line of an error."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
