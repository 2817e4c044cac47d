"""Video networks that start from image models, written by diffusers with the config keys of DeepFloyd IF and Stable Diffusion 2."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from torch import nn

import tiny
from show1 import PixelUNet
from show1.errors import CheckpointError
from show1.models.inflate import inflate, is_temporal
from show1.models.loading import load_network
from show1.training.components import make_network
from show1.training.config import TrainConfig

TEXT = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([5, 700])
IF: dict[str, Any] = {  # the keys of IF-I's unet/config.json, small
    "act_fn": "gelu",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "attention_head_dim": 8,
    "block_out_channels": [32, 32, 64, 64],
    "center_input_sample": False,
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_dim": 64,
    "cross_attention_norm": "group_norm",
    "down_block_types": ["ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "encoder_hid_dim": 16,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 3,
    "layers_per_block": 1,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 6,
    "projection_class_embeddings_input_dim": None,
    "resnet_out_scale_factor": 1.4142,
    "resnet_skip_time_act": True,
    "resnet_time_scale_shift": "scale_shift",
    "sample_size": 64,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": "gelu",
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "up_block_types": [*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
    "upcast_attention": False,
    "use_linear_projection": False,
}
UPSCALER = {**IF, "in_channels": 6, "class_embed_type": "timestep", "sample_size": 256, "layers_per_block": [1, 2, 1, 1]}
SD: dict[str, Any] = {  # the keys of Stable Diffusion 2.1's unet/config.json, small
    "act_fn": "silu",
    "attention_head_dim": [4, 4, 8, 8],
    "block_out_channels": [32, 32, 64, 64],
    "center_input_sample": False,
    "class_embed_type": None,
    "cross_attention_dim": 16,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 4,
    "resnet_time_scale_shift": "default",
    "sample_size": 96,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "upcast_attention": True,
    "use_linear_projection": True,
}
STAGES = {"keyframes": (IF, PixelUNet), "pixel": (UPSCALER, PixelUNet), "latent": (SD, UNet3DConditionModel)}


def write_image_model(config: dict[str, Any], folder: Path) -> nn.Module:
    """A whole model's folder as far as the network goes, by diffusers' own `save_pretrained`."""
    image = tiny.named(UNet2DConditionModel.from_config(config))
    image.save_pretrained(folder / "unet")
    return image


def start(stage: str, folder: str, base: Path) -> Any:
    return make_network(TrainConfig(stage=stage, steps=1, batch_size=1, start={"network": folder}), base).eval()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("place", ["model", "model/unet"])
@torch.no_grad()
def test_a_video_network_starts_as_the_image_network_frame_by_frame(tmp_path: Path, stage: str, place: str) -> None:
    config, cls = STAGES[stage]
    image = write_image_model(config, tmp_path / "model")
    video = start(stage, place, tmp_path)
    assert type(video) is cls
    labels = {"class_labels": torch.tensor([3, 250])} if config["class_embed_type"] else {}
    noisy = torch.randn(2, config["in_channels"], 3, 16, 24, generator=torch.Generator().manual_seed(2)).double()
    text = TEXT.double()
    whole = video.double()(noisy, TIMES, text, **labels).sample
    each = {name: value.repeat_interleave(3, 0) for name, value in {"timestep": TIMES, "encoder_hidden_states": text, **labels}.items()}
    frames = image.double()(noisy.transpose(1, 2).flatten(0, 1), **each).sample.unflatten(0, (2, 3)).transpose(1, 2)
    assert (whole - frames).abs().max() < 1e-9  # in float64, which does not hide a difference behind rounding
    new = set(video.state_dict()) - set(image.state_dict())
    assert new and all(is_temporal(name) for name in new)


@pytest.mark.parametrize("stage", STAGES)
def test_the_temporal_layers_learn_from_there(tmp_path: Path, stage: str) -> None:
    config, _ = STAGES[stage]
    write_image_model(config, tmp_path / "model")
    video = start(stage, "model", tmp_path).train()
    labels = {"class_labels": TIMES} if config["class_embed_type"] else {}
    video(torch.randn(2, config["in_channels"], 2, 8, 8), TIMES, TEXT, **labels).sample.square().mean().backward()
    last = [p for name, p in video.named_parameters() if name.endswith(("proj_out.weight", "conv4.3.weight")) and is_temporal(name)]
    assert last and all(p.grad is not None and p.grad.abs().max() > 0 for p in last)


@pytest.mark.parametrize("stage", STAGES)
def test_weights_that_do_not_fit_are_named(stage: str) -> None:
    config, cls = STAGES[stage]
    image = UNet2DConditionModel.from_config(config)
    image.register_parameter("surplus", nn.Parameter(torch.zeros(2)))
    image.down_blocks[0].resnets[0].conv1.bias = None
    with pytest.raises(CheckpointError, match=r"1 missing: down_blocks.0.resnets.0.conv1.bias; 1 unexpected: surplus"):
        inflate(image, cls)


@pytest.mark.parametrize(
    ("stage", "changes", "reason"),
    [
        ("latent", {"attention_head_dim": 8}, r"heads are \[4, 8\] wide"),
        ("latent", {"use_linear_projection": False}, "use_linear_projection"),
        ("latent", {"only_cross_attention": True}, "'only_cross_attention' of the image network is True"),
        ("keyframes", {"resnet_time_scale_shift": "default", "conv_in_kernel": 5}, "conv_in_kernel"),
        ("keyframes", {"transformer_layers_per_block": 2}, "transformer_layers_per_block"),
    ],
)
def test_configs_that_a_video_network_cannot_obey_are_refused(tmp_path: Path, stage: str, changes: dict[str, Any], reason: str) -> None:
    write_image_model({**STAGES[stage][0], **changes}, tmp_path / "model")
    with pytest.raises(CheckpointError, match=reason):
        start(stage, "model", tmp_path)


def test_a_modelscope_folder_loads_as_it_is(tmp_path: Path) -> None:
    tiny.named(UNet3DConditionModel.from_config(tiny.LATENT_CONFIG)).save_pretrained(tmp_path / "model" / "unet")
    wanted = load_network(UNet3DConditionModel, tmp_path / "model" / "unet").state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in start("latent", "model", tmp_path).state_dict().items())
