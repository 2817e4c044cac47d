"""What one call of the pipeline gives, and what all its stages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor, nn

from show1.cascade.inputs import Frames, cover
from show1.cascade.settings import PUBLISHED, STAGES, CascadeSettings
from show1.diffusion.denoise import OnStep


@dataclass
class Show1Output(BaseOutput):
    """What a call made. Stages that were not run are None."""

    frames: Frames
    """The last stage's videos: lists of pictures (`pil`), [B, F, H, W, 3] in [0, 1] (`np`), or [B, F, 3, H, W] in [0, 1] (`pt`)."""
    keyframes: Tensor | None = None
    """[B, 3, F, H, W], nominally in [-1, 1], as the network left them; so are all below."""
    interpolated: Tensor | None = None
    first_frame: Tensor | None = None
    pixel_upscaled: Tensor | None = None
    latent_upscaled: Tensor | None = None
    seeds: list[int] = field(default_factory=list)
    """Seed of each video."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time each stage took."""

    def stages(self) -> dict[str, Tensor]:
        """The videos of the stages that were run, by the names that `stop_after` takes."""
        made = (self.keyframes, self.interpolated, self.pixel_upscaled, self.latent_upscaled)
        return {name: video for name, video in zip(STAGES, made, strict=True) if video is not None}


@dataclass(frozen=True)
class Call:
    """What all stages of one call share."""

    settings: CascadeSettings
    seeds: list[int]
    on_step: Callable[[str, int], OnStep]
    """(stage, step count) -> the stage's step callback."""
    device: torch.device
    """Where networks run: asked once, since diffusers walks through every layer to tell."""
    image: Image.Image | None = None
    """The first frame, where it is given."""

    def first_frame(self, stage: str) -> Tensor | None:
        """The given first frame for every video, at a stage's size, [B, 3, 1, H, W]."""
        if self.image is None:
            return None
        return cover(self.image, self.settings.stage_sizes()[stage]).repeat(len(self.seeds), 1, 1, 1, 1)


def read_settings(settings: CascadeSettings | Mapping[str, Any] | None) -> CascadeSettings:
    """Settings as they come out of a config file or a caller."""
    if settings is None:
        return PUBLISHED
    return settings if isinstance(settings, CascadeSettings) else CascadeSettings.from_dict(settings)


@contextmanager
def evaluating(components: Iterable[Any]) -> Iterator[None]:
    """Networks in eval mode (the published script sampled with dropout on), and as they were afterwards."""
    training = [c for c in components if isinstance(c, nn.Module) and c.training]
    for network in training:
        network.eval()
    try:
        yield
    finally:
        for network in training:
            network.train()
