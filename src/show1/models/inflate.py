"""A 2D image checkpoint -> a video UNet: every image weight is used, only temporal layers are new and start as identity."""

from __future__ import annotations

from typing import Any

from torch import nn

from show1.errors import CheckpointError
from show1.models.unet import PixelUNet

TEMPORAL = ("temp_convs", "temp_attentions", "transformer_in")
"""Names of the modules that an image network lacks."""


def is_temporal(parameter: str) -> bool:
    """Whether a parameter of a video network belongs to its temporal layers."""
    return any(part in TEMPORAL for part in parameter.split("."))


def video_config(image_config: dict[str, Any]) -> dict[str, Any]:
    """The config of the video network that has all layers of an image network's config (IF's 2D block names -> 3D)."""
    config = {key: value for key, value in image_config.items() if not key.startswith("_")}
    for key in ("down_block_types", "up_block_types"):
        config[key] = [name.replace("2D", "3D") for name in config[key]]
    config["mid_block_type"] = config["mid_block_type"].replace("2D", "3D")
    known = PixelUNet._get_init_keys(PixelUNet)
    return {key: value for key, value in config.items() if key in known}


def inflate(image_network: nn.Module) -> PixelUNet:
    """Make a video network that equals `image_network` (diffusers' `UNet2DConditionModel`) frame by frame.

    Raises:
        CheckpointError: a weight of the image network has no place in the video network, or one is missing that is not temporal.
    """
    video_network = PixelUNet.from_config(video_config(dict(image_network.config)))
    missing, unexpected = video_network.load_state_dict(image_network.state_dict(), strict=False)
    missing = [name for name in missing if not is_temporal(name)]
    if missing or unexpected:
        raise CheckpointError(f"the image network does not fit: missing {missing[:5]}, unexpected {unexpected[:5]}")
    return video_network
