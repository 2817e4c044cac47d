"""A 2D image checkpoint -> a video UNet: every image weight is used, only temporal layers are new and start as identity."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from show1.errors import CheckpointError
from show1.models.loading import check_weights
from show1.models.unet import PixelUNet

TEMPORAL = ("temp_convs", "temp_attentions", "transformer_in")
"""Names of the modules that an image network lacks."""
BLOCK_KEYS = ("down_block_types", "mid_block_type", "up_block_types")
UNREAD = {"upcast_attention", "downsample_padding", "sample_size", "dropout", "num_class_embeds"}
"""Keys that neither weights nor results of these networks depend on, beside rounding; `num_class_embeds` is null where no class is given."""


def is_temporal(parameter: str) -> bool:
    """Whether a parameter of a video network belongs to its temporal layers."""
    return any(part in TEMPORAL for part in parameter.split("."))


def _defaults(cls: type) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(cls.__init__).parameters.items()}  # type: ignore[misc]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _kept_keys(image_config: Mapping[str, Any], known: set[str], read: set[str] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
    """The keys of an image network's config that a video network has too; an error for one that it would have to obey and cannot."""
    usual = _defaults(UNet2DConditionModel)
    kept = {}
    for key, value in image_config.items():
        if key in known:
            kept[key] = value
        elif not (key.startswith("_") or key in UNREAD | read or _plain(value) == _plain(usual.get(key))):
            raise CheckpointError(f"config key '{key}' of the image network is {value!r}, which the video network does not support")
    return kept


def _blocks_3d(image_config: Mapping[str, Any]) -> dict[str, Any]:
    """IF's and Stable Diffusion's names of 2D blocks -> 3D."""
    names = {key: image_config[key] for key in BLOCK_KEYS if image_config.get(key)}
    return {key: v.replace("2D", "3D") if isinstance(v, str) else [name.replace("2D", "3D") for name in v] for key, v in names.items()}


def video_config(image_config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the pixel video network that has all layers of an image network's config.

    Raises:
        CheckpointError: a key that asks for what the video network does not have.
    """
    known = set(PixelUNet._get_init_keys(PixelUNet))
    return {**_kept_keys(image_config, known), **_blocks_3d(image_config)}


def latent_video_config(image_config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of diffusers' `UNet3DConditionModel` that has all layers of a Stable Diffusion UNet's config.

    Raises:
        CheckpointError: heads that differ in width, or a key that asks for what the video network does not have.
    """
    known = set(_defaults(UNet3DConditionModel)) - {"self", "attention_head_dim", "num_attention_heads"}
    config = _kept_keys(image_config, known, {"attention_head_dim", "num_attention_heads", "use_linear_projection", "mid_block_type"})
    if not image_config.get("use_linear_projection"):
        raise CheckpointError("config key 'use_linear_projection' is false (Stable Diffusion 1); the video network has linear ones (2)")
    if image_config.get("mid_block_type") not in ("UNetMidBlock2DCrossAttn", None):
        raise CheckpointError(
            f"config key 'mid_block_type' is {image_config['mid_block_type']!r}; only UNetMidBlock2DCrossAttn can be inflated"
        )
    blocks = {key: value for key, value in _blocks_3d(image_config).items() if key in known}
    return {**config, **blocks, "attention_head_dim": _head_width(image_config)}


def _head_width(image_config: Mapping[str, Any]) -> int:
    """Width of the heads: what an image config calls `attention_head_dim` is their number."""
    channels = list(image_config["block_out_channels"])
    heads = image_config.get("num_attention_heads") or image_config["attention_head_dim"]
    numbers = [heads] * len(channels) if isinstance(heads, int) else list(heads)
    widths = {width // number for width, number in zip(channels, numbers, strict=True)}
    if len(widths) > 1:
        raise CheckpointError(f"the image network's heads are {sorted(widths)} wide; the video network has heads of one width")
    return widths.pop()


def start_as_identity(video_network: nn.Module) -> None:
    """Let the temporal transformers of a new network pass on what they get (temporal convolutions do so as diffusers makes them)."""
    with torch.no_grad():
        for module in video_network.modules():
            if isinstance(module, TransformerTemporalModel):
                module.proj_out.weight.zero_()
                module.proj_out.bias.zero_()


def inflate(image_network: nn.Module, cls: type[nn.Module] = PixelUNet, where: Path | None = None) -> Any:
    """Make a video network that equals `image_network` (diffusers' `UNet2DConditionModel`) frame by frame.

    Args:
        image_network: IF's for `PixelUNet`, Stable Diffusion 2's for `UNet3DConditionModel`.
        cls: the video network's class.
        where: the folder it came from, for errors.

    Raises:
        CheckpointError: a config key or weight of the image network has no place in the video network, or one is missing that is not temporal.
    """
    make: Any = cls
    image_config = dict(image_network.config)  # type: ignore[arg-type]
    video_network = make.from_config(video_config(image_config) if cls is PixelUNet else latent_video_config(image_config))
    start_as_identity(video_network)
    weights = image_network.state_dict()
    known = {name: value for name, value in video_network.state_dict().items() if not is_temporal(name)}
    check_weights(weights, known, where or Path("the image network"))
    video_network.load_state_dict(weights, strict=False)
    return video_network


def with_temporal(network: Any, other: nn.Module, where: Path) -> Any:
    """Let a video network have the temporal layers of another one, from the folder `where`.

    Raises:
        CheckpointError: their temporal layers differ.
    """
    theirs, own = ({n: w for n, w in each.state_dict().items() if is_temporal(n)} for each in (other, network))
    check_weights(theirs, own, where)
    network.load_state_dict(theirs, strict=False)
    return network


def with_labels(network: Any) -> Any:
    """Let a UNet read labels, as `class_embed_type = "timestep"` does; until it is trained to, it ignores them."""
    width, channels = network.time_proj.num_channels, network.time_embedding.linear_2.out_features
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.class_embedding = TimestepEmbedding(width, channels, act_fn=network.config.act_fn)
    with torch.no_grad():
        network.class_embedding.linear_2.weight.zero_()
        network.class_embedding.linear_2.bias.zero_()
    network.register_to_config(class_embed_type="timestep")
    return network
