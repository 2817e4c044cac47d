"""What a training step sees: captioned clips at some moments, drawn at whatever sizes and crops a stage asks for.

Two sources serve the same seam: the emoji world here, and users' own clips in `recorded.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from show1.cascade.settings import PUBLISHED
from show1.errors import DataError, SettingsError
from show1.training.chance import Chance
from show1.training.config import DataConfig
from show1.worlds.emoji import EmojiWorld, Scene, caption
from show1.worlds.sprites import SpriteStore

CLIP_FRAMES = len(PUBLISHED.frame_times())
FPS = PUBLISHED.fps
LATENT_CELL = 8
"""Pixels a latent is wide and high."""
SEED_STRIDE = 1_000_000_007
"""Seeds of a run's clips lie between its own seed times this, and the next run's."""


@dataclass(frozen=True)
class StageSizes:
    """(width, height) of a clip's pictures at each stage."""

    low: tuple[int, int]
    pixel: tuple[int, int]
    final: tuple[int, int]


USUAL_SIZES = StageSizes(*(PUBLISHED.stage_sizes()[stage] for stage in ("keyframes", "pixel", "latent")))


@dataclass(frozen=True)
class Wanted:
    """What a stage reads of every clip."""

    frames: bool = True
    """Its pictures."""
    arrays: tuple[str, ...] = ()
    """What was computed ahead, by name: embeddings of the caption, latents."""


class Clips(Protocol):
    """A batch of captioned clips at some moments; every drawing shows the same clips at the same moments."""

    seeds: list[int]
    times: Tensor
    """Seconds of the frames, [F] or [B, F]."""
    sizes: StageSizes

    @property
    def captions(self) -> list[str]:
        """One caption a clip."""
        ...

    def draw(self, size: tuple[int, int], crop: tuple[int, int, int, int] | None = None) -> Tensor:
        """Draw [B, 3, F, height, width] in [-1, 1] at `size` (width, height).

        `crop` is (top, left, height, width) in pixels of the picture of that size.
        """
        ...

    def objects_in(self, pictures: Tensor) -> Tensor:
        """Where drawn pictures [B, 3, F, H, W], not cropped, show objects: [B, 1, F, H, W], 0 or 1.

        Raises:
            SettingsError: the source does not know.
        """
        ...

    def array(self, name: str) -> Tensor:
        """What was computed ahead under a name of `Wanted.arrays`, [B, ...]."""
        ...


class ClipSource(Protocol):
    """Where clips come from. What a seed gives is a pure function of it."""

    def clips(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> Clips:
        """The training clips of some seeds at `times` seconds, [F] or [B, F], from each clip's first frame.

        All have the shape of the clip of seed `like`, the first of the batch that they are a part of; of `seeds[0]` where none is given.
        """
        ...

    def look_ahead(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> None:
        """Begin to read what `clips` will be asked for; changes nothing but the wait."""
        ...

    def corpus(self, count: int) -> list[str]:
        """Captions to make a tokenizer of, `count` at most."""
        ...

    def prepared(self, kind: str) -> dict[str, Any]:
        """What the source says of things of a kind (`t5`, `clip`, `latents`) that were computed ahead; empty where there are none."""
        ...

    def empty_text(self, kind: str) -> Tensor:
        """The embedding [L, D] of the empty caption that was computed ahead."""
        ...

    def measures(self) -> dict[str, float]:
        """Numbers for the log, by name."""
        ...

    def notes(self) -> list[str]:
        """What a user should know when a run ends."""
        ...


class EmojiSource:
    """Clips of the emoji world, none of them of a held-out combination."""

    def __init__(self, world: EmojiWorld, device: torch.device) -> None:
        self.world = world
        self.device = device

    @classmethod
    def open(cls, data: DataConfig, sprites: Path | None, device: torch.device) -> EmojiSource:
        """The world a configuration asks for; `sprites` is the folder that `show1 data sprites` filled.

        Raises:
            DataError: no sprites there.
        """
        if sprites is None:
            raise DataError("training on the emoji world needs its sprites: run `show1 data sprites DIR` once, then pass --sprites DIR")
        store = SpriteStore.load(sprites, list(data.objects) if data.objects else None)
        return cls(EmojiWorld(store, objects=data.objects, motions=data.motions, max_count=data.max_count), device)

    def clips(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> EmojiClips:
        return EmojiClips(self.world, [self.world.sample_scene(seed, split="train") for seed in seeds], seeds, times, self.device)

    def look_ahead(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> None:
        """Nothing: clips are drawn when they are needed."""

    def corpus(self, count: int) -> list[str]:
        return [caption(self.world.sample_scene(seed), seed) for seed in range(count)]

    def prepared(self, kind: str) -> dict[str, Any]:
        return {}

    def empty_text(self, kind: str) -> Tensor:
        raise DataError("the emoji world holds no embeddings")

    def measures(self) -> dict[str, float]:
        return {}

    def notes(self) -> list[str]:
        return []


@dataclass
class EmojiClips:
    """Scenes of the emoji world."""

    world: EmojiWorld
    scenes: list[Scene]
    seeds: list[int]
    times: Tensor
    device: torch.device
    sizes: StageSizes = USUAL_SIZES
    painted: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    """Backgrounds by (width, height), which take the most time of a drawing."""

    @property
    def captions(self) -> list[str]:
        return [caption(scene, seed) for scene, seed in zip(self.scenes, self.seeds, strict=True)]

    def draw(self, size: tuple[int, int], crop: tuple[int, int, int, int] | None = None) -> Tensor:
        backgrounds = None if crop else self._backgrounds(size)
        asked = {"height": size[1], "width": size[0], "crop": crop, "device": self.device, "backgrounds": backgrounds}
        return self.world.render(self.scenes, self.seeds, times=self.times, **asked)

    def objects_in(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        return self.world.objects_in(pictures, self._backgrounds((width, height)))

    def _backgrounds(self, size: tuple[int, int]) -> Tensor:
        if size not in self.painted:
            self.painted[size] = self.world.backgrounds(self.scenes, self.seeds, height=size[1], width=size[0], device=self.device)
        return self.painted[size]

    def array(self, name: str) -> Tensor:
        raise DataError(f"the emoji world holds no '{name}'")


def emoji_world(source: ClipSource, why: str) -> EmojiWorld:
    """The emoji world behind a source.

    Raises:
        SettingsError: the source is another; `why` says what the world is needed for.
    """
    if not isinstance(source, EmojiSource):
        raise SettingsError(f"{why} needs to know what each clip shows: it trains on the emoji world only, leave `source` out of [data]")
    return source.world


def frame_times(first: int, frames: int, every: int = 1) -> Tensor:
    """Seconds of `frames` frames from frame `first` of a clip, `every` frames apart."""
    return (first + every * torch.arange(frames)) / FPS


def any_time(chance: Chance) -> Tensor:
    """One moment of each clip, [B, 1] seconds."""
    return chance.uniform(1) * frame_times(CLIP_FRAMES - 1, 1)


def any_window(frames: int, chance: Chance) -> Tensor:
    """Seconds [frames] of neighbouring frames somewhere in a clip, the same for a whole batch."""
    return frame_times(chance.shared_integer(CLIP_FRAMES - frames + 1), frames)


def random_crop(size: tuple[int, int], crop: Sequence[int] | None, multiple: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """A window (top, left, height, width) of `crop` (height, width) somewhere in a picture of `size` (width, height).

    Its corner lies on a multiple of `multiple` pixels. No crop means the whole picture.
    """
    width, height = size
    if crop is None:
        return 0, 0, height, width
    top = int(torch.randint((height - crop[0]) // multiple + 1, (1,), generator=generator)) * multiple
    left = int(torch.randint((width - crop[1]) // multiple + 1, (1,), generator=generator)) * multiple
    return top, left, crop[0], crop[1]


def cut(pictures: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """The window (top, left, height, width) of [..., H, W]."""
    top, left, height, width = window
    return pictures[..., top : top + height, left : left + width]
