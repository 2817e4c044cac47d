"""Reads what a clip of the emoji world shows: the measure of what a model drew against what it was told.

Shapes: B videos, F frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

READ_FRAMES = 8
READ_SIZE = (80, 128)
"""(height, width) in pixels that every video is brought to."""
WIDTHS = (32, 48, 96, 128)
GRID_CHANNELS = 32
GROUPS = 8


def as_read(video: Tensor) -> Tensor:
    """A video [B, 3, F, H, W] of any length and size as the recogniser sees it: [B, 3, READ_FRAMES, *READ_SIZE].

    Frames are taken at even distances from first to last (of 29 frames every fourth: the keyframes).
    """
    picked = torch.linspace(0, video.shape[2] - 1, READ_FRAMES).round().long()
    frames = video[:, :, picked.to(video.device)].transpose(1, 2).flatten(0, 1).float()
    if frames.shape[-2:] != READ_SIZE:
        frames = functional.interpolate(frames, READ_SIZE, mode="bilinear", antialias=True)
    return frames.unflatten(0, (len(video), READ_FRAMES)).transpose(1, 2)


def luminance(video: Tensor) -> Tensor:
    """Videos or pictures [B, 3, ..., H, W] -> [B, ..., H, W] (ITU-R BT.601 weights)."""
    return torch.einsum("bc...,c->b...", video, torch.tensor([0.299, 0.587, 0.114]).to(video))


def in_grey(video: Tensor) -> Tensor:
    """A video [B, 3, F, H, W] in shades of grey, each as light as the colour was."""
    return luminance(video)[:, None].expand_as(video)


class Residual(nn.Module):
    """Halves the resolution: two normed convolutions beside a plain one."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 2, stride=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H / 2, W / 2]."""
        branch = self.conv1(functional.silu(self.norm1(hidden)))
        return self.shortcut(hidden) + self.conv2(functional.silu(self.norm2(branch)))


class Recogniser(ModelMixin, ConfigMixin):
    """A small video classifier: a convolutional network a frame, a transformer over the frames, one head an attribute.

    Args:
        labels: attribute -> its values, such as `{"object": ["turtle", ...], "count": ["1", "2"]}`.
        width: width of the transformer.
        feature_width: width of the features that all heads read (and that Fréchet distances are taken on).
    """

    @register_to_config
    def __init__(self, labels: dict[str, Sequence[str]], width: int = 192, feature_width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2)
        self.levels = nn.Sequential(*(Residual(i, o) for i, o in pairwise(WIDTHS)))
        self.norm = nn.GroupNorm(GROUPS, WIDTHS[-1])
        self.grid = nn.Conv2d(WIDTHS[-1], GRID_CHANNELS, 1)
        cells = (READ_SIZE[0] // 16) * (READ_SIZE[1] // 16)
        self.embed = nn.Linear(GRID_CHANNELS * cells + WIDTHS[-1], width)
        self.positions = nn.Parameter(0.02 * torch.randn(READ_FRAMES, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.over_time = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.to_features = nn.Linear(READ_FRAMES * width, feature_width)
        self.heads = nn.ModuleDict({name: nn.Linear(feature_width, len(values)) for name, values in labels.items()})

    @property
    def labels(self) -> dict[str, list[str]]:
        """Attribute -> the values it can have."""
        return {name: list(values) for name, values in self.config["labels"].items()}

    def features(self, video: Tensor) -> Tensor:
        """A video [B, 3, F, H, W] in [-1, 1], of any length and size -> features [B, D]."""
        frames = as_read(video).transpose(1, 2).flatten(0, 1).to(self.dtype)
        hidden = functional.silu(self.norm(self.levels(self.stem(frames))))
        seen = torch.cat([self.grid(hidden).flatten(1), hidden.mean(dim=(2, 3))], dim=1)
        moments = self.embed(seen).unflatten(0, (len(video), READ_FRAMES)) + self.positions
        return self.to_features(self.over_time(moments).flatten(1))

    def classify(self, features: Tensor) -> dict[str, Tensor]:
        """Features [B, D] -> logits [B, values] of each attribute."""
        return {name: head(functional.silu(features)) for name, head in self.heads.items()}

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """A video [B, 3, F, H, W] in [-1, 1], of any length and size -> logits [B, values] of each attribute."""
        return self.classify(self.features(video))

    def name(self, logits: dict[str, Tensor]) -> list[dict[str, str]]:
        """Logits -> one reading a video: attribute -> its likeliest value."""
        best = {name: values.argmax(dim=1).tolist() for name, values in logits.items()}
        count = len(next(iter(best.values())))
        return [{name: self.labels[name][indices[i]] for name, indices in best.items()} for i in range(count)]
