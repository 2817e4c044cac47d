"""The emoji world: captioned clips of animated emoji, drawn on the fly in torch at any size and frame rate."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from show1.errors import DataError
from show1.worlds.backgrounds import paint_backgrounds
from show1.worlds.brushes import Grid, make_grid
from show1.worlds.captions import caption as caption
from show1.worlds.captions import known_words as known_words
from show1.worlds.chance import Chance
from show1.worlds.motions import plan_paths
from show1.worlds.sampling import sample_scene
from show1.worlds.scenes import Scene as Scene
from show1.worlds.scenes import check_word
from show1.worlds.scenes import is_held_out as is_held_out
from show1.worlds.sprite_layers import add_sprites
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import COUNTS, MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE

_VISIBLE = 0.02  # a difference in [-1, 1] that is more than rounding
_PIXELS_AT_ONCE = 500_000  # drawn together: small pictures share their overhead, large ones stay in a CPU's cache
_MOST_PIXELS_AT_ONCE = 5_000_000  # on a GPU: some hundred bytes each


class EmojiWorld:
    """Draws scenes, and makes up new ones from some objects, places and motions (by default, all)."""

    def __init__(
        self,
        sprites: SpriteStore,
        *,
        objects: Sequence[str] | None = None,
        places: Sequence[str] | None = None,
        motions: Sequence[str] | None = None,
        max_count: int = 3,
    ) -> None:
        self.sprites = sprites
        known = tuple(name for name in OBJECT_TABLE if name in sprites.names)
        self.objects = _chosen("object", objects, known)
        self.places = _chosen("place", places, tuple(PLACE_TABLE))
        self.motions = _chosen("motion", motions, tuple(MOTION_TABLE))
        if not 1 <= max_count <= max(COUNTS):
            raise DataError(f"max_count must be 1 to {max(COUNTS)}, not {max_count}.")
        self.max_count = max_count

    def sample_scene(self, seed: int, *, split: Literal["train", "held-out"] = "train") -> Scene:
        """A scene of the split, a pure function of the seed (and of what this world was made of)."""
        return sample_scene(self.objects, self.places, self.motions, self.max_count, seed, split)

    def render(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int],
        *,
        times: Tensor | None = None,
        frames: int = 29,
        fps: float = 7.5,
        height: int = 320,
        width: int = 576,
        crop: tuple[int, int, int, int] | None = None,
        device: str | torch.device = "cpu",
        backgrounds: Tensor | None = None,
    ) -> Tensor:
        """Draws clips: float32 [batch, channel=3, frame, height, width] in [-1, 1].

        Each clip is a pure function of its scene and seed, the same at every resolution. times, [frame] or
        [batch, frame] in seconds, overrides frames and fps. crop (top, left, height, width), in pixels of the whole
        picture, draws that window only. backgrounds are of these clips and this window, where they are painted already.
        """
        if len(scenes) != len(seeds) or not scenes:
            raise DataError(f"Rendering needs one seed for each scene, not {len(seeds)} for {len(scenes)}.")
        for scene in scenes:
            self.sprites.check(scene.object)
        moments = _moments(times, frames, fps, len(scenes))
        grid = _grid(crop, height, width, torch.device(device))
        if backgrounds is None:
            backgrounds = self._paint(scenes, seeds, grid)
        clips = backgrounds[:, :, None].repeat(1, 1, moments.shape[1], 1, 1)
        for part in _parts(clips):
            paths = plan_paths(scenes[part], Chance(seeds[part]), moments[part], self.sprites.infos)
            add_sprites(clips[part], scenes[part], paths, self.sprites, grid)
        return clips.mul_(2).sub_(1).clamp_(-1, 1)

    def backgrounds(
        self, scenes: Sequence[Scene], seeds: Sequence[int], *, height: int, width: int, device: str | torch.device = "cpu"
    ) -> Tensor:
        """The places of clips without objects: float32 [batch, 3, height, width] in [0, 1]."""
        return self._paint(scenes, seeds, _grid(None, height, width, torch.device(device)))

    def objects_in(self, clips: Tensor, backgrounds: Tensor) -> Tensor:
        """Where whole rendered clips [batch, 3, frame, height, width] show objects or their shadows: [batch, 1, frame, height, width], 0 or 1."""
        return ((clips - (backgrounds * 2 - 1)[:, :, None]).abs().amax(dim=1, keepdim=True) > _VISIBLE).to(clips.dtype)

    def _paint(self, scenes: Sequence[Scene], seeds: Sequence[int], grid: Grid) -> Tensor:
        painted = torch.empty(len(scenes), 3, len(grid.y), len(grid.x), device=grid.x.device)
        for part in _parts(painted):
            painted[part] = paint_backgrounds(scenes[part], Chance(seeds[part]), grid)
        return painted


def _parts(pictures: Tensor) -> Iterator[slice]:
    """Rows of pictures [batch, 3, ...] that are drawn together."""
    most = _PIXELS_AT_ONCE if pictures.device.type == "cpu" else _MOST_PIXELS_AT_ONCE
    chunk = max(1, most // max(1, pictures[0, 0].numel()))
    return (slice(first, first + chunk) for first in range(0, len(pictures), chunk))


def _chosen(kind: str, asked: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for word in asked or ():
        check_word(kind, word, known)
    chosen = known if asked is None else tuple(asked)
    if not chosen:
        raise DataError(f"The emoji world needs at least one {kind}.")
    return chosen


def _moments(times: Tensor | None, frames: int, fps: float, batch: int) -> Tensor:
    """Seconds of every frame of every clip, float32 [batch, frame] on the CPU, where paths are planned."""
    if times is None:
        if frames < 1 or fps <= 0:
            raise DataError(f"A clip needs at least one frame and a positive frame rate, not {frames} at {fps}.")
        times = torch.arange(frames, dtype=torch.float32) / fps
    times = times.detach().to("cpu", torch.float32)
    if times.dim() == 1:
        times = times.expand(batch, -1)
    if times.dim() != 2 or len(times) != batch or times.shape[1] < 1:
        raise DataError(f"times must be [frame] or [{batch}, frame], not {list(times.shape)}.")
    return times


def _grid(crop: tuple[int, int, int, int] | None, height: int, width: int, device: torch.device) -> Grid:
    """The pixels of a window of a picture."""
    if height < 1 or width < 1:
        raise DataError(f"A picture of {width}x{height} cannot be drawn.")
    top, left, rows, columns = crop or (0, 0, height, width)
    if min(top, left) < 0 or min(rows, columns) < 1 or top + rows > height or left + columns > width:
        raise DataError(f"The crop {crop} (top, left, height, width) does not lie in a picture of {width}x{height}.")
    return make_grid(height, width, (top, left, rows, columns), device)
