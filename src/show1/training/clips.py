"""What a training step sees: captioned clips of the emoji world, drawn at whatever times, sizes and crops a stage asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from show1.cascade.settings import PUBLISHED
from show1.errors import DataError
from show1.training.config import DataConfig
from show1.worlds.emoji import EmojiWorld, Scene, caption
from show1.worlds.sprites import SpriteStore

CLIP_FRAMES = len(PUBLISHED.frame_times())
FPS = PUBLISHED.fps
FINAL_SIZE = PUBLISHED.final_size
LATENT_CELL = 8
"""Pixels a latent is wide and high."""


def open_world(data: DataConfig, sprites: Path | None) -> EmojiWorld:
    """The emoji world a run trains on; `sprites` is the folder that `show1 data sprites` filled.

    Raises:
        DataError: no sprites there.
    """
    if sprites is None:
        raise DataError("training on the emoji world needs its sprites: run `show1 data sprites DIR` once, then pass --sprites DIR")
    store = SpriteStore.load(sprites, list(data.objects) if data.objects else None)
    return EmojiWorld(store, objects=data.objects, motions=data.motions, max_count=data.max_count)


@dataclass(frozen=True)
class Clips:
    """A batch of captioned scenes that can be drawn again at another size: every drawing shows the same clips."""

    world: EmojiWorld
    scenes: list[Scene]
    seeds: list[int]
    device: torch.device

    @classmethod
    def training(cls, world: EmojiWorld, seeds: list[int], device: torch.device) -> Clips:
        """Training scenes, none of them of a held-out combination; a pure function of `seeds`."""
        return cls(world, [world.sample_scene(seed, split="train") for seed in seeds], seeds, device)

    @property
    def captions(self) -> list[str]:
        """One caption a clip."""
        return [caption(scene, seed) for scene, seed in zip(self.scenes, self.seeds, strict=True)]

    def draw(self, times: Tensor, size: tuple[int, int], crop: tuple[int, int, int, int] | None = None) -> Tensor:
        """Draw [B, 3, F, height, width] in [-1, 1] at `times` seconds [F] or [B, F], at `size` (width, height).

        `crop` is (top, left, height, width) in pixels of the picture of that size.
        """
        return self.world.render(self.scenes, self.seeds, times=times, height=size[1], width=size[0], crop=crop, device=self.device)


def frame_times(first: int, frames: int, every: int = 1) -> Tensor:
    """Seconds of `frames` frames from frame `first` of a clip, `every` frames apart."""
    return (first + every * torch.arange(frames)) / FPS


def random_crop(
    size: tuple[int, int], crop: tuple[int, int] | None, multiple: int, generator: torch.Generator
) -> tuple[int, int, int, int]:
    """A window (top, left, height, width) of `crop` (height, width) somewhere in a picture of `size` (width, height).

    Its corner lies on a multiple of `multiple` pixels. No crop means the whole picture.
    """
    width, height = size
    if crop is None:
        return 0, 0, height, width
    top = int(torch.randint((height - crop[0]) // multiple + 1, (1,), generator=generator)) * multiple
    left = int(torch.randint((width - crop[1]) // multiple + 1, (1,), generator=generator)) * multiple
    return top, left, *crop


def cut(pictures: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """The window (top, left, height, width) of [..., H, W]."""
    top, left, height, width = window
    return pictures[..., top : top + height, left : left + width]
