"""Sprites in memory: every frame of every object at several resolutions, on one device."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from show1.errors import DataError
from show1.worlds.fetching import fetch_sprites as fetch_sprites
from show1.worlds.scenes import check_word
from show1.worlds.sprite_files import CELL, SpriteInfo, fit_in_cell, read_frames, read_manifest
from show1.worlds.stand_ins import draw_from_font, draw_stand_in
from show1.worlds.vocabulary import OBJECT_TABLE

_SMALLEST_CELL = 12


class SpriteStore:
    """Sprite frames with premultiplied alpha as a pyramid: uint8 [frame, channel=4, side, side] for each level.

    The side halves from level to level, beginning at `CELL`.
    """

    def __init__(self, sprites: Mapping[str, tuple[Tensor, SpriteInfo]], largest: int = CELL) -> None:
        """`sprites` as `save_sprites` takes them; levels larger than `largest` pixels are not kept."""
        self.infos = {name: info for name, (_, info) in sprites.items()}
        self.names = tuple(sprites)
        counts = [len(frames) for frames, _ in sprites.values()]
        starts = [sum(counts[:index]) for index in range(len(counts))]
        self._count = dict(zip(self.names, counts, strict=True))
        self._start = dict(zip(self.names, starts, strict=True))
        pyramids = [_pyramid(frames, largest) for frames, _ in sprites.values()]
        self._levels = {side: torch.cat([pyramid[side] for pyramid in pyramids]) for side in pyramids[0]}
        self._on_device: dict[tuple[str, int], Tensor] = {}

    @classmethod
    def load(cls, folder: str | Path, names: Sequence[str] | None = None, *, largest: int = CELL) -> "SpriteStore":
        """Reads what `fetch_sprites` wrote; all sprites, or the named ones.

        `largest` (pixels) spares memory where only small pictures are drawn: 48 suffices for 64x40.
        """
        infos = read_manifest(Path(folder))
        frames = read_frames(Path(folder), tuple(infos) if names is None else names)
        return cls({name: (stack, infos[name]) for name, stack in frames.items()}, largest)

    @classmethod
    def synthetic(cls, names: Sequence[str], seed: int = 0) -> "SpriteStore":
        """Plain drawn shapes instead of emoji: works offline, for tests and for trying the training out."""
        return cls({name: draw_stand_in(name, seed) for name in names})

    @classmethod
    def from_font(cls, font: str | Path, names: Sequence[str] | None = None) -> "SpriteStore":
        """Stills from the Noto colour emoji font (`NotoColorEmoji.ttf`), for where npm is not to be had."""
        pictures = {name: draw_from_font(Path(font), name) for name in names or OBJECT_TABLE}
        return cls({name: fit_in_cell(picture[None], seconds=0.0) for name, picture in pictures.items()})

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the levels kept, largest first."""
        return tuple(self._levels)

    def check(self, name: str) -> None:
        """Raises a `DataError` if there is no sprite of that name."""
        check_word("sprite", name, self.names)

    def frames_of(self, name: str) -> tuple[Tensor, SpriteInfo]:
        """A sprite as it is stored: uint8 [frame, channel=4, side, side] of the largest level kept, and its facts."""
        self.check(name)
        start = self._start[name]
        return self._levels[self.sides[0]][start : start + self._count[name]], self.infos[name]

    def cells(self, level: int, picks: Tensor, device: torch.device) -> Tensor:
        """float32 [instance, channel=4, side, side] in [0, 1]: picked frames of a level (0 is `CELL` wide)."""
        side = min(max(CELL >> level, self.sides[-1]), self.sides[0])
        return self._level_on(side, device)[picks].float().mul_(1 / 255)

    def frames_at(self, names: Sequence[str], turns: Tensor) -> Tensor:
        """The stored frames of sprites after so many loops, 1.25 being a quarter on: int64, as turns [name, time].

        Frames are not mixed: their ghosts would be seen at 576x320.
        """
        start = torch.tensor([self._start[name] for name in names])[:, None]
        count = torch.tensor([self._count[name] for name in names])[:, None]
        to_and_fro = torch.tensor([self.infos[name].to_and_fro for name in names])[:, None]
        phase = turns % 1.0
        swing = ((1 - (2 * phase - 1).abs()) * (count - 1)).round()
        position = torch.where(to_and_fro, swing, (phase * count).floor())
        return start + position.long().clamp(max=count - 1)

    def _level_on(self, side: int, device: torch.device) -> Tensor:
        """A level, moved to the device once."""
        if device.type == "cpu":
            return self._levels[side]
        key = (str(device), side)
        if key not in self._on_device:
            self._on_device[key] = self._levels[side].to(device)
        return self._on_device[key]


def _pyramid(frames: Tensor, largest: int) -> dict[int, Tensor]:
    """uint8 [frame, 4, side, side] for each side from CELL down, each the mean of 2x2 pixels of the one before."""
    if frames.dtype != torch.uint8 or frames.shape[1:] != (4, CELL, CELL):
        raise DataError(f"Sprite frames must be uint8 [frame, 4, {CELL}, {CELL}], not {tuple(frames.shape)}.")
    levels = {CELL: frames}
    exact = frames
    while min(levels) > _SMALLEST_CELL:
        halved = torch.nn.functional.avg_pool2d(exact.float(), 2)
        exact = halved
        levels[halved.shape[-1]] = halved.round().to(torch.uint8)
    return {side: level for side, level in levels.items() if side <= max(largest, _SMALLEST_CELL)}
