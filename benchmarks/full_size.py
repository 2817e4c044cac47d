"""The cascade at its published sizes with random weights: what `one_gpu.py` measures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel, UNet3DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from show1 import PixelUNet, Show1Pipeline
from show1.cascade.loading import NETWORKS, read_model
from show1.cascade.settings import PUBLISHED
from show1.models.outline import Outline

WIDTHS = (320, 640, 960, 1280)
IF_II_WIDTHS = (*WIDTHS, 1280)
DOWN_2D, UP_2D = ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), ("ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D")
DOWN_3D, UP_3D = ("ResnetDownsampleBlock3D", "SimpleCrossAttnDownBlock3D"), ("ResnetUpsampleBlock3D", "SimpleCrossAttnUpBlock3D")
COSINE = {"beta_schedule": "squaredcos_cap_v2"}


def blocks(down: tuple[str, str], up: tuple[str, str], levels: int, attending: int) -> dict[str, tuple[str, ...]]:
    """Block types of a network whose lowest `attending` levels read the text."""
    plain = levels - attending
    return {
        "down_block_types": (down[0],) * plain + (down[1],) * attending,
        "up_block_types": (up[1],) * attending + (up[0],) * plain,
    }


def if_ii(widths: tuple[int, ...], text: int, groups: int) -> UNet2DConditionModel:
    """DeepFloyd IF-II-L by its kind of configuration; the numbers are fitted to its 1.2 B weights."""
    return UNet2DConditionModel(
        in_channels=6,
        out_channels=6,
        block_out_channels=widths,
        layers_per_block=3,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        cross_attention_dim=widths[-1],
        cross_attention_norm="group_norm",
        only_cross_attention=True,
        encoder_hid_dim=text,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=min(64, text // 2),
        class_embed_type="timestep",
        attention_head_dim=min(64, widths[0]),
        norm_num_groups=groups,
        act_fn="gelu",
        time_embedding_act_fn="gelu",
        resnet_time_scale_shift="scale_shift",
        resnet_skip_time_act=True,
        resnet_out_scale_factor=1.4142,
        **blocks(DOWN_2D, UP_2D, len(widths), 2),
    )


def makers(tiny: bool) -> dict[str, Callable[[], nn.Module]]:
    """What makes each network on the default device; `tiny` ones have the same parts and few weights, to try the measuring itself."""
    widths, lower = ((32, 32, 64, 64), (32, 32, 64, 64, 64)) if tiny else (WIDTHS, IF_II_WIDTHS)
    text, clip, groups = (32, 32, 8) if tiny else (4096, 1024, 32)
    pixel: dict[str, Any] = {
        "block_out_channels": widths,
        "encoder_hid_dim": text,
        "cross_attention_dim": widths[-1],
        "addition_embed_type_num_heads": min(64, text // 2),
        "attention_head_dim": min(64, widths[0]),
        "norm_num_groups": 32,
        "layers_per_block": 1 if tiny else 3,
    }
    t5 = {
        "d_model": text,
        "d_ff": text * 5 // 2,
        "num_layers": 2 if tiny else 24,
        "num_heads": text // 8 if tiny else 64,
        "d_kv": 8 if tiny else 64,
    }
    clip_config = {"num_hidden_layers": 2 if tiny else 23, "num_attention_heads": clip // 64 or 1, "max_position_embeddings": 77}
    vae_blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return {
        "text_encoder": lambda: T5EncoderModel(T5Config(**t5, feed_forward_proj="gated-gelu", vocab_size=32128)),
        "keyframes_unet": lambda: PixelUNet(**pixel),
        "interpolation_unet": lambda: PixelUNet(**pixel, in_channels=7),
        "first_frame_unet": lambda: if_ii(lower, text, groups),
        "pixel_upscale_unet": lambda: PixelUNet(**pixel, in_channels=6, class_embed_type="timestep", **blocks(DOWN_3D, UP_3D, 4, 2)),
        "latent_text_encoder": lambda: CLIPTextModel(
            CLIPTextConfig(hidden_size=clip, intermediate_size=4 * clip, vocab_size=49408, **clip_config)
        ),
        "latent_unet": lambda: UNet3DConditionModel(
            cross_attention_dim=clip,
            attention_head_dim=min(64, widths[0]),
            block_out_channels=(32, 64, 64, 64) if tiny else (320, 640, 1280, 1280),
        ),
        "vae": lambda: AutoencoderKL(
            block_out_channels=(8,) * 4 if tiny else (128, 256, 512, 512), norm_num_groups=groups, layers_per_block=2, **vae_blocks
        ),
    }


def make_network(name: str, tiny: bool, device: torch.device, dtype: torch.dtype) -> Any:
    """One network with random weights (of a seed of its own), made on its device in its dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
            torch.manual_seed(0)
            return makers(tiny)[name]().eval()
    finally:
        torch.set_default_dtype(before)


def make_outlines(tiny: bool, dtype: torch.dtype) -> Show1Pipeline:
    """The whole pipeline without weights, on the meta device."""
    return assemble({name: Outline(make_network(name, tiny, torch.device("meta"), dtype), dtype) for name in makers(tiny)}, tiny)


def save_cascade(folder: Path, tiny: bool, device: torch.device) -> None:
    """The whole pipeline in 16 bits as a folder, network by network: together they take 26 GB."""
    main_memory = torch.device("cpu")
    assemble({name: make_network(name, True, main_memory, torch.float16) for name in makers(True)}, tiny).save_pretrained(folder)
    for name in () if tiny else makers(tiny):  # in the place of the tiny one
        shutil.rmtree(folder / name)
        make_network(name, tiny, device, torch.float16).cpu().save_pretrained(folder / name)


def assemble(networks: dict[str, Any], tiny: bool) -> Show1Pipeline:
    """The networks with the published schedulers and settings, and the bundled model's tokenizers."""
    bundled = read_model(None, torch.float16, NETWORKS)
    solver = lambda: DPMSolverMultistepScheduler(**COSINE, algorithm_type="dpmsolver++", variance_type=None)  # noqa: E731
    ddpm = lambda: DDPMScheduler(**COSINE, variance_type="learned_range", thresholding=True)  # noqa: E731
    return Show1Pipeline(
        **networks,
        tokenizer=bundled.tokenizer,
        latent_tokenizer=bundled.latent_tokenizer,
        keyframes_scheduler=solver(),
        interpolation_scheduler=solver(),
        first_frame_scheduler=ddpm(),
        first_frame_noising_scheduler=DDPMScheduler(**COSINE),
        pixel_upscale_scheduler=ddpm(),
        pixel_upscale_noising_scheduler=DDPMScheduler(**COSINE),
        latent_scheduler=DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        settings=replace(PUBLISHED, keyframe_size=(16, 16), final_size=(128, 64)) if tiny else PUBLISHED,
    )
