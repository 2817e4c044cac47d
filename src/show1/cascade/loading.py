"""A model by the name that a user gives it, on the device that suits it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from show1.errors import SettingsError


def quiet_libraries() -> None:
    """Keep the libraries' advice for developers off a user's screen."""
    import logging
    import warnings

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(level=logging.WARNING, format="note: %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)")
    for name in ("torchao", "torch.utils._pytree"):  # diffusers imports torchao where it is installed
        logging.getLogger(name).setLevel(logging.ERROR)
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


NETWORKS = (
    "text_encoder",
    "keyframes_unet",
    "interpolation_unet",
    "first_frame_unet",
    "pixel_upscale_unet",
    "latent_text_encoder",
    "latent_unet",
    "vae",
)
"""The components that have weights."""
ROOM = 8 * 10**9
"""Bytes of weights that a GPU is given all at once. Of more, each network is there for its turn: the published cascade is then
predicted to need 12 GB in place of 28."""


def load_model(
    model: str | None,
    device: str | None = None,
    dtype: str | None = None,
    adapters: Mapping[str, float] | None = None,
    *,
    compiled: bool = False,
) -> Any:
    """A pipeline on its device: all of it, or each network for its turn (see `put`).

    Args:
        model: a folder, a hub id, `bundled` (or None) or `published`.
        device: cuda, mps, cpu, ...; the best there is where not given.
        dtype: float32, float16 or bfloat16; what suits the device where not given.
        adapters: folders of adapters to mix in, each with its weight.
        compiled: have torch compile the denoising networks, see `Show1Pipeline.compile_networks`.

    Raises:
        SettingsError: a device or dtype that cannot be used.
        CheckpointError: there is no such model or adapter, or it is damaged.
    """
    where, kind = chosen_place(device, dtype)
    pipeline = read_model(model, kind, adapters=adapters)
    return put(pipeline.compile_networks() if compiled else pipeline, where)


def put(pipeline: Any, device: Any) -> Any:
    """Put a pipeline that is in main memory on its device; where its weights are too many for a GPU at once, have each network
    moved there when its turn comes (diffusers' model offload)."""
    networks = [network for name in NETWORKS if (network := getattr(pipeline, name)) is not None]
    if keeps_all(sum(weight.nbytes for network in networks for weight in network.parameters()), device):
        return pipeline.to(device)
    pipeline.enable_model_cpu_offload(device=device)
    return pipeline


def keeps_all(weights: int, device: Any) -> bool:
    """Whether so many bytes of weights are put on a device all at once where no budget is named."""
    return device.type in ("cpu", "mps") or weights <= ROOM


def load_outlines(model: str | None, device: str | None = None, dtype: str | None = None, *, here: bool = True) -> tuple[Any, Any, Any]:
    """A pipeline without weights, and the device and the dtype that `load_model` would take; errors as there.

    With `here=False` the device need not be in this machine.
    """
    where, kind = chosen_place(device, dtype, here=here)
    return read_model(model, kind, NETWORKS), where, kind


def read_model(
    model: str | None,
    dtype: Any,
    outlines: Collection[str] = (),
    adapters: Mapping[str, float] | None = None,
    *,
    int8_text: bool = False,
) -> Any:
    """A pipeline in main memory, some of its networks without weights, T5 in 8 bits where that is asked for.

    Adapters change the keyframe network, where that has its own weights.
    """
    from show1 import Show1Pipeline

    options: dict[str, Any] = {"dtype": dtype, "outlines": outlines, "int8_text_encoder": int8_text}
    if model == "published":
        pipeline = Show1Pipeline.from_published(**options)
    else:
        pipeline = Show1Pipeline.from_pretrained(None if model in (None, "bundled") else model, **options)
    if adapters and "keyframes_unet" not in outlines:
        for folder in adapters:
            pipeline.load_lora_weights(folder, adapter_name=folder)
        pipeline.set_adapters(list(adapters), list(adapters.values()))
    return pipeline


def chosen_place(device: str | None, dtype: str | None, *, here: bool = True) -> tuple[Any, Any]:
    """The device and dtype of names, or what suits this machine.

    Raises:
        SettingsError: one that cannot be used.
    """
    import torch

    from show1.cascade.folder import best_device, best_dtype

    where = chosen_device(device, here=here) if device else best_device()
    names = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype is not None and dtype not in names:
        raise SettingsError(f"unknown dtype '{dtype}'; known: {', '.join(names)}")
    return where, names[dtype] if dtype else best_dtype(where)


def chosen_device(name: str, *, here: bool = True) -> Any:
    """The device of a name.

    Raises:
        SettingsError: it is none, or has to be `here` and is not.
    """
    import torch

    try:
        device = torch.device(name)
        if here:
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"the device '{name}' cannot be used here: {str(error).splitlines()[0]}") from None
    return device
