"""Networks, tokenizers and settings small enough that a whole cascade runs in a second; weights follow from parameter names."""

import zlib
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel, UNet3DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from show1 import CascadeSettings, PixelUNet, SamplerSettings, Show1Pipeline
from show1.training.tokenizers import CLIP_LENGTH, make_clip_tokenizer, make_t5_tokenizer

M = TypeVar("M", bound=nn.Module)

TEXT_WIDTH = 16
CAPTIONS = (
    "a rocket flies over the ocean at night",
    "two turtles move left across the desert",
    "a horse in the city",
    "low resolution, blur",
)


def named(model: M) -> M:
    """Give every parameter the values that follow from its name, as the recorded networks have them."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
            if p.ndim >= 2:
                x = x / p[0].numel() ** 0.5
            elif "norm" in name and name.endswith("weight"):
                x = 1 + 0.1 * x
            else:
                x = 0.05 * x
            p.copy_(x)
    return model.eval()


def pixel_config(channels: int = 3, *, dimensions: int = 3, upscaler: bool = False) -> dict[str, Any]:
    """config.json of a tiny pixel network: video (3 dimensions) or image (2)."""
    d = f"{dimensions}D"
    return {
        "sample_size": 8,
        "in_channels": channels,
        "out_channels": 6,
        "block_out_channels": [32, 32],
        "layers_per_block": 1,
        "down_block_types": [f"ResnetDownsampleBlock{d}", f"SimpleCrossAttnDownBlock{d}"],
        "mid_block_type": f"UNetMidBlock{d}SimpleCrossAttn",
        "up_block_types": [f"SimpleCrossAttnUpBlock{d}", f"ResnetUpsampleBlock{d}"],
        "attention_head_dim": 8,
        "cross_attention_dim": 32,
        "cross_attention_norm": "group_norm",
        "encoder_hid_dim": TEXT_WIDTH,
        "encoder_hid_dim_type": "text_proj",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "act_fn": "silu",
        "time_embedding_act_fn": "silu",
        "resnet_time_scale_shift": "scale_shift",
        "resnet_skip_time_act": True,
        "resnet_out_scale_factor": 1.4142,
        "class_embed_type": "timestep" if upscaler else None,
    }


LATENT_CONFIG: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock3D", "CrossAttnDownBlock3D"],
    "up_block_types": ["CrossAttnUpBlock3D", "UpBlock3D"],
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 8,
}
VAE_CONFIG: dict[str, Any] = {
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "sample_size": 32,
}
SETTINGS = CascadeSettings(
    keyframes=SamplerSettings(steps=2, guidance=2.0),
    interpolation=SamplerSettings(steps=2, guidance=1.0),
    first_frame=SamplerSettings(steps=2, guidance=1.5, noise_level=100),
    pixel=SamplerSettings(steps=2, guidance=1.0, noise_level=100),
    latent=SamplerSettings(steps=3, guidance=2.0, strength=0.8),
    num_keyframes=3,
    between=1,
    keyframe_size=(16, 8),
    pixel_scale=2,
    final_size=(48, 32),
    window=4,
    stride=3,
    max_text_tokens=12,
    latent_negative_prompt="low resolution, blur",
)


def text_encoder(vocabulary: int) -> T5EncoderModel:
    """A tiny T5 encoder."""
    config = T5Config(vocab_size=vocabulary, d_model=TEXT_WIDTH, d_kv=8, num_heads=2, d_ff=32, num_layers=2, dropout_rate=0.1)
    return named(T5EncoderModel(config))


def latent_text_encoder(tokenizer: Any) -> CLIPTextModel:
    """A tiny CLIP text model for a tokenizer."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CLIP_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return named(CLIPTextModel(config))


def solver() -> DPMSolverMultistepScheduler:
    """v-prediction, so that rounding does not grow at the noisy end."""
    return DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")


def ancestral() -> DDPMScheduler:
    """A scheduler that draws noise, with learned variance as the published upscalers have it."""
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", variance_type="learned_range")


def noising() -> DDPMScheduler:
    """What puts noise on the upscalers' condition."""
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2")


def make_pipeline(folder: Path, settings: CascadeSettings = SETTINGS) -> Show1Pipeline:
    """A tiny cascade; its tokenizer's files are written to `folder`."""
    tokenizer = make_t5_tokenizer(CAPTIONS, folder / "t5")
    latent_tokenizer = make_clip_tokenizer(CAPTIONS, 600)
    pipeline = Show1Pipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder(len(tokenizer)),
        keyframes_unet=named(PixelUNet.from_config(pixel_config())),
        keyframes_scheduler=solver(),
        interpolation_unet=named(PixelUNet.from_config(pixel_config(7))),
        interpolation_scheduler=solver(),
        first_frame_unet=named(UNet2DConditionModel.from_config(pixel_config(6, dimensions=2, upscaler=True))),
        first_frame_scheduler=ancestral(),
        first_frame_noising_scheduler=noising(),
        pixel_upscale_unet=named(PixelUNet.from_config(pixel_config(6, upscaler=True))),
        pixel_upscale_scheduler=ancestral(),
        pixel_upscale_noising_scheduler=noising(),
        latent_tokenizer=latent_tokenizer,
        latent_text_encoder=latent_text_encoder(latent_tokenizer),
        latent_unet=named(UNet3DConditionModel.from_config(LATENT_CONFIG)),
        latent_scheduler=solver(),
        vae=named(AutoencoderKL.from_config(VAE_CONFIG)),
        settings=settings,
        vocabulary={"objects": ["rocket", "turtle"], "words": sorted({w for c in CAPTIONS[:3] for w in c.split()})},
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
