"""The five published checkpoints -> one pipeline."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from show1.cascade.folder import find_folder
from show1.cascade.settings import PUBLISHED
from show1.models.loading import load_network, load_scheduler, load_tokenizer, load_transformer
from show1.models.outline import read_outline
from show1.models.reading import read_json
from show1.models.unet import PixelUNet

# diffusers 0.19 ended DPM-Solver++ at its smallest sigma; later versions end at zero unless told, which changes the pictures.
AS_PUBLISHED = {"final_sigmas_type": "sigma_min"}


def solver(folder: Path) -> Any:
    """A stage's scheduler, behaving as it did when the checkpoints were published."""
    config = read_json(folder / "scheduler_config.json")
    return load_scheduler(folder, **(AS_PUBLISHED if "DPMSolver" in str(config.get("_class_name")) else {}))


def load_published(
    cls: Any,
    *,
    keyframes: str | Path = "showlab/show-1-base",
    interpolation: str | Path = "showlab/show-1-interpolation",
    first_frame: str | Path = "DeepFloyd/IF-II-L-v1.0",
    pixel_upscale: str | Path = "showlab/show-1-sr1",
    latent_upscale: str | Path = "showlab/show-1-sr2",
    dtype: torch.dtype | None = None,
    torch_dtype: torch.dtype | None = None,
    variant: str | None = "fp16",
    outlines: Collection[str] = (),
    int8_text_encoder: bool = False,
    **where: Any,
) -> Any:
    """Make a pipeline of the published checkpoints.

    T5 is taken from the keyframes' folder; it is loaded when a prompt is to be encoded and freed right after. Modules
    that `model_index.json` files name are not consulted: each component is read from its subfolder.

    Args:
        keyframes, interpolation, first_frame, pixel_upscale, latent_upscale: hub ids or local folders.
        dtype: what to hold weights in; float32 where none is given. `torch_dtype` is its older name.
        variant: prefer weight files of this variant; folders without it give what they have.
        outlines: networks whose weights are not loaded, by their names in the pipeline; stages that need them cannot be run.
        int8_text_encoder: hold T5 in 8 bits; needs torchao.
        where: `revision`, `cache_dir`, `local_files_only`, as in `huggingface_hub.snapshot_download`.

    Raises:
        CheckpointError: what is missing or does not fit, with its name.
    """
    base, inter, image, pixel, latent = (
        find_folder(name, **where) for name in (keyframes, interpolation, first_frame, pixel_upscale, latent_upscale)
    )
    options: dict[str, Any] = {"dtype": dtype or torch_dtype or torch.float32, "variant": variant}
    networks = {
        "keyframes_unet": (PixelUNet, base / "unet"),
        "interpolation_unet": (PixelUNet, inter / "unet"),
        "first_frame_unet": (UNet2DConditionModel, image / "unet"),
        "pixel_upscale_unet": (PixelUNet, pixel / "unet"),
        "latent_unet": (UNet3DConditionModel, latent / "unet"),
        "vae": (AutoencoderKL, latent / "vae"),
    }
    made: dict[str, Any] = {
        name: read_outline(kind, folder, options["dtype"]) if name in outlines else load_network(kind, folder, **options)
        for name, (kind, folder) in networks.items()
    }
    folder = latent / "text_encoder"
    if "latent_text_encoder" in outlines:
        made["latent_text_encoder"] = read_outline(CLIPTextModel, folder, options["dtype"])
    else:
        made["latent_text_encoder"] = load_transformer(CLIPTextModel, folder, **options)
    t5 = base / "text_encoder"
    made["text_encoder"] = read_outline(T5EncoderModel, t5, options["dtype"]) if "text_encoder" in outlines else None
    pipeline = cls(
        **made,
        tokenizer=load_tokenizer(T5Tokenizer, base / "tokenizer"),
        keyframes_scheduler=solver(base / "scheduler"),
        interpolation_scheduler=solver(inter / "scheduler"),
        first_frame_scheduler=solver(image / "scheduler"),
        first_frame_noising_scheduler=load_scheduler(image / "image_noising_scheduler"),
        pixel_upscale_scheduler=solver(pixel / "scheduler"),
        pixel_upscale_noising_scheduler=load_scheduler(pixel / "image_noising_scheduler"),
        latent_tokenizer=load_tokenizer(CLIPTokenizer, latent / "tokenizer"),
        latent_scheduler=solver(latent / "scheduler"),
        settings=PUBLISHED,
    )
    pipeline.load_text_encoder = lambda: load_transformer(T5EncoderModel, t5, **options, int8=int8_text_encoder)
    return pipeline
