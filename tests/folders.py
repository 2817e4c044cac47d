"""Writes the five folders of a published model, in the shapes they are met in: fp16 variants, shards, pickles, foreign class names."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import nn

from show1 import Show1Pipeline

AUTHORS = "showone.models.unet_3d_condition"


def halved(module: nn.Module) -> nn.Module:
    """Values that 16 bits hold exactly, so that every kind of file gives the same numbers."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    return module


def save_variant(module: Any, folder: Path, **options: Any) -> None:
    """Save in 16 bits under the name of the fp16 variant."""
    module.half().save_pretrained(folder, variant="fp16", **options)
    module.float()


def to_bin(folder: Path) -> None:
    """Leave only a pickle, of 16-bit tensors, of a component's weights."""
    from safetensors.torch import load_file

    path = folder / "diffusion_pytorch_model.safetensors"
    torch.save({name: tensor.half() for name, tensor in load_file(path).items()}, folder / "diffusion_pytorch_model.bin")
    path.unlink()


def rename_class(folder: Path, name: str) -> None:
    """Let config.json name a class as the authors' package calls it."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": name}))


def write_index(folder: Path, pipeline: str, unet: list[str], *parts: str) -> None:
    """model_index.json that points at the authors' own module."""
    values = {"_class_name": pipeline, "_diffusers_version": "0.19.3", "unet": unet, "safety_checker": [None, None]}
    folder.joinpath("model_index.json").write_text(json.dumps({**values, **{part: ["transformers", "Any"] for part in parts}}))


def save_text(pipe: Show1Pipeline, spiece: Path, folder: Path, scheduler: SchedulerMixin) -> None:
    pipe.tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "tokenizer" / "spiece.model").write_bytes(spiece.read_bytes())
    scheduler.save_pretrained(folder / "scheduler")


def write_published(pipe: Show1Pipeline, spiece: Path, root: Path) -> dict[str, Path]:
    """The pipeline's networks as five published folders; the arguments of `from_published`."""
    for component in pipe.components.values():
        if isinstance(component, nn.Module):
            halved(component)
    names = ("keyframes", "interpolation", "first_frame", "pixel_upscale", "latent_upscale")
    folders = {name: root / name for name in names}
    base, inter, image, pixel, latent = folders.values()

    save_text(pipe, spiece, base, pipe.keyframes_scheduler)
    pipe.keyframes_unet.save_pretrained(base / "unet")
    save_variant(pipe.keyframes_unet, base / "unet")
    save_variant(pipe.text_encoder, base / "text_encoder", max_shard_size="3KB")
    write_index(base, "TextToVideoIFPipeline", [AUTHORS, "UNet3DConditionModel"], "text_encoder")

    save_text(pipe, spiece, inter, pipe.interpolation_scheduler)
    save_variant(pipe.interpolation_unet, inter / "unet")
    write_index(inter, "TextToVideoIFInterpPipeline", [AUTHORS, "UNet3DConditionModel"])

    save_text(pipe, spiece, image, pipe.first_frame_scheduler)
    pipe.first_frame_noising_scheduler.save_pretrained(image / "image_noising_scheduler")
    pipe.first_frame_unet.save_pretrained(image / "unet", safe_serialization=False)
    save_variant(pipe.first_frame_unet, image / "unet")
    write_index(image, "IFSuperResolutionPipeline", ["diffusers", "UNet2DConditionModel"], "watermarker")

    save_text(pipe, spiece, pixel, pipe.pixel_upscale_scheduler)
    pipe.pixel_upscale_noising_scheduler.save_pretrained(pixel / "image_noising_scheduler")
    pipe.pixel_upscale_unet.save_pretrained(pixel / "unet")
    write_index(pixel, "TextToVideoIFSuperResolutionPipeline_Cond", [AUTHORS, "UNet3DConditionModel"])

    pipe.latent_tokenizer.save_pretrained(latent / "tokenizer")
    pipe.latent_text_encoder.save_pretrained(latent / "text_encoder")
    pipe.latent_scheduler.save_pretrained(latent / "scheduler")
    pipe.latent_unet.save_pretrained(latent / "unet")
    to_bin(latent / "unet")
    pipe.vae.save_pretrained(latent / "vae")
    write_index(latent, "TextToVideoSDPipeline", ["diffusers", "UNet3DConditionModel"])

    for folder in (base, inter, pixel):
        rename_class(folder / "unet", "UNet3DConditionModel")
    return folders
