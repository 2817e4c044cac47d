"""Puts the sprites of a batch of clips on their backgrounds: shadows, then objects, back to front."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from show1.worlds.brushes import Grid
from show1.worlds.motions import Paths
from show1.worlds.scenes import Scene
from show1.worlds.sprite_files import CELL
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import PLACE_TABLE

_COARSE_PITCH = 1.5  # world units a pixel beyond which each pixel takes the mean of 2x2 samples
_NIGHT_LIGHT = (0.78, 0.82, 0.95)
_SHADOW = 0.42


def add_sprites(clips: Tensor, scenes: Sequence[Scene], paths: Paths, store: SpriteStore, grid: Grid) -> None:
    """Draws on clips, float32 [batch, 3, frame, height, width] in [0, 1], in place."""
    names = [scene.object for scene in scenes]
    light = torch.tensor([_NIGHT_LIGHT if scene.night else (1.0, 1.0, 1.0) for scene in scenes], device=clips.device)
    grounded = torch.tensor([float(PLACE_TABLE[scene.place].has_ground) for scene in scenes])
    for slot in range(paths.x.shape[1]):
        rows = torch.tensor([row for row, count in enumerate(paths.counts) if count > slot])
        every = len(rows) == len(scenes)
        target = clips if every else clips[rows.to(clips.device)]
        if bool(grounded[rows].any()):
            _add_shadow(target, paths, rows, slot, grounded[rows], grid)
        picks = store.frames_at([names[row] for row in rows.tolist()], paths.turns[rows, slot])
        across, down = _reach(paths, rows, slot, grid)
        if across.start < across.stop and down.start < down.stop:
            part = Grid(grid.x[across], grid.y[down], grid.pitch_x, grid.pitch_y)
            layer = _draw_layer(paths, rows, slot, picks, store, part)
            _add_layer(target[..., down, across], layer, light[rows.to(clips.device)])
        if not every:
            clips[rows.to(clips.device)] = target


def _add_shadow(clips: Tensor, paths: Paths, rows: Tensor, slot: int, grounded: Tensor, grid: Grid) -> None:
    """A soft dark ellipse on the ground, fainter the higher the object is above it."""
    ground, width = paths.ground[rows, slot], paths.foot_width[rows, slot]
    height = (ground - paths.y[rows, slot] - paths.foot_width[rows, slot] / 2).clamp(min=0)
    strength = (_SHADOW * (-height / 70).exp() * grounded[:, None]).to(clips.device)
    column_x = _bell(grid.x, paths.x[rows, slot].to(clips.device), (width * 0.26).to(clips.device), grid.pitch_x)
    column_y = _bell(grid.y, (ground - 3).to(clips.device), (width * 0.05).to(clips.device), grid.pitch_y)
    dark = (strength[..., None] * column_y)[..., None] * column_x[..., None, :]
    clips.mul_((1 - dark)[:, None])


def _bell(places: Tensor, centre: Tensor, radius: Tensor, pitch: float) -> Tensor:
    """A bell curve of height 1, blurred by the width of a pixel: [row, frame, place]."""
    blurred = radius.square() + pitch**2 / 12
    curve = (-(places - centre[..., None]).square() / (2 * blurred[..., None])).exp()
    return curve * (radius / blurred.sqrt())[..., None]


def _reach(paths: Paths, rows: Tensor, slot: int, grid: Grid) -> tuple[slice, slice]:
    """Columns and rows of the grid that the sprites of a slot may touch in any frame of these clips."""
    angle = paths.angle[rows, slot]
    half = paths.cell[rows, slot] / 2 * (angle.sin().abs() + angle.cos().abs())
    bounds = []
    for centre, places, pitch in ((paths.x, grid.x, grid.pitch_x), (paths.y, grid.y, grid.pitch_y)):
        low, high = float((centre[rows, slot] - half).min()), float((centre[rows, slot] + half).max())
        origin = float(places[0]) / pitch
        first, last = math.floor(low / pitch - origin), math.ceil(high / pitch - origin) + 1
        bounds.append(slice(min(max(first, 0), len(places)), min(max(last, 0), len(places))))
    return bounds[0], bounds[1]


def _add_layer(clips: Tensor, layer: Tensor, light: Tensor) -> None:
    """layer: [row * frame, 4, height, width], premultiplied."""
    rows, _, frames = clips.shape[:3]
    layer = layer.view(rows, frames, *layer.shape[1:]).transpose(1, 2)
    clips.mul_(1 - layer[:, 3:])
    clips.addcmul_(layer[:, :3], light[:, :, None, None, None])


def _draw_layer(paths: Paths, rows: Tensor, slot: int, picks: Tensor, store: SpriteStore, grid: Grid) -> Tensor:
    """Samples each instance's sprite on the whole grid: float32 [row * frame, 4, height, width]."""
    device = grid.x.device
    fine = 2 if max(grid.pitch_x, grid.pitch_y) > _COARSE_PITCH else 1
    cell = paths.cell[rows, slot].flatten()
    mirror = paths.mirror[rows, None].expand(-1, paths.x.shape[2]).flatten()
    transform = _world_to_cell(
        paths.x[rows, slot].flatten(), paths.y[rows, slot].flatten(), paths.angle[rows, slot].flatten(), cell, mirror
    ).to(device)
    step = math.sqrt(grid.pitch_x * grid.pitch_y) / fine * CELL / cell  # stored pixels between samples
    levels = step.clamp(min=1).log2().round().long()
    layer = torch.empty(len(cell), 4, len(grid.y), len(grid.x), device=device)
    for level in sorted(set(levels.tolist())):
        chosen = torch.nonzero(levels == level)[:, 0]
        cells = store.cells(level, picks.flatten()[chosen].to(device), device)
        places = _sample_places(transform[chosen.to(device)], grid, fine)
        drawn = grid_sample(cells, places, align_corners=False, padding_mode="zeros")
        layer[chosen.to(device)] = drawn if fine == 1 else avg_pool2d(drawn, fine)
    return layer


def _world_to_cell(x: Tensor, y: Tensor, angle: Tensor, cell: Tensor, mirror: Tensor) -> Tensor:
    """Affine maps from world units to cells, where -1 and 1 are the borders: [instance, 2, 3]."""
    cosine, sine = angle.cos() * 2 / cell, angle.sin() * 2 / cell
    across = torch.stack([cosine, sine, -(cosine * x + sine * y)], dim=-1) * mirror[:, None]
    down = torch.stack([-sine, cosine, sine * x - cosine * y], dim=-1)
    return torch.stack([across, down], dim=1)


def _sample_places(transform: Tensor, grid: Grid, fine: int) -> Tensor:
    """Where samples lie in the cells: [instance, height * fine, width * fine, 2]."""
    shifts = (torch.arange(fine, device=grid.x.device) + 0.5) / fine - 0.5
    x = (grid.x[:, None] + shifts * grid.pitch_x).flatten()
    y = (grid.y[:, None] + shifts * grid.pitch_y).flatten()
    places = torch.empty(len(transform), len(y), len(x), 2, device=x.device)
    for axis in (0, 1):
        along_x = transform[:, axis, 0, None] * x
        along_y = transform[:, axis, 1, None] * y + transform[:, axis, 2, None]
        torch.add(along_x[:, None], along_y[:, :, None], out=places[..., axis])
    return places
