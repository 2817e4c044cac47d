"""Painters of the places without ground: sky, ocean and space. Each gives [batch, 3, height, width]."""

import math

import torch
from torch import Tensor

from show1.worlds.brushes import below_level, disc, dots, fade, over, smoothstep
from show1.worlds.motions import WORLD_HEIGHT, WORLD_WIDTH
from show1.worlds.stage import Stage

_SEA_LEVEL = 0.42 * WORLD_HEIGHT


def paint_sky(stage: Stage) -> Tensor:
    """Blue all over with clouds at two distances; at night stars and a moon."""
    canvas = stage.sky(stage.colour("3f8fe0", "0b1233"), stage.colour("bfe3fb", "27366b"), WORLD_HEIGHT)
    stage.clouds(canvas, 4, 40, 290, size=1.15)
    return canvas


def paint_ocean(stage: Stage) -> Tensor:
    """Water to the horizon, with waves that grow towards us; a path of moonlight at night."""
    canvas = stage.sky(stage.colour("6db7ee", "0a1030"), stage.colour("e6f5fc", "2b3c6c"), _SEA_LEVEL)
    stage.sun(canvas, "fff4c4", 70)
    paint_water(stage, canvas, _SEA_LEVEL, WORLD_HEIGHT)
    return canvas


def paint_water(stage: Stage, canvas: Tensor, first: float, last: float) -> None:
    """Water from y = first down, lighter far away; `last` is where its near colour is reached."""
    grid = stage.grid
    water = fade(grid, stage.colour("3fa9d6", "1d3a6b"), stage.colour("0b4f94", "081a3c"), first, last)
    over(canvas, water, below_level(grid, first))
    crests = _crests(stage, first)
    over(canvas, stage.colour("a9e2f2", "4a6fa8"), crests * 0.6)
    if bool(stage.night.any()):
        moon_x, _ = stage.moon_place()
        column = (-((grid.x - moon_x[:, None]) / 34).square()).exp()[:, None] * stage.night[:, None, None]
        shine = column * below_level(grid, first)
        over(canvas, stage.colour("fff3d0", "dfe3ee"), shine * (0.25 + 0.75 * crests))


def _crests(stage: Stage, first: float) -> Tensor:
    """Broken horizontal crests, narrow at the horizon and wider near us, faint where a pixel is too coarse for them."""
    grid = stage.grid
    depth = (grid.y - first).clamp(min=0.0) + 10
    luck = stage.luck("crests", 4)[:, :, None, None]
    density = 4.2
    slope = density / (2 * depth.sqrt())  # radians of the crests' wave a world unit
    fine = (-(slope * grid.pitch_y).square() / 6).exp()
    spread = (grid.x - WORLD_WIDTH / 2) / (depth[:, None] + 90)
    bend = 0.9 * (2.3 * spread + 6.28 * luck[:, 0]).sin() + 0.5 * (6.1 * spread + 6.28 * luck[:, 1]).sin()
    lines = (density * depth.sqrt()[:, None] + bend + 6.28 * luck[:, 2]).sin()
    breaks = 0.5 + 0.5 * (9.0 * spread + 1.3 * depth.sqrt()[:, None] + 6.28 * luck[:, 3]).sin()
    return smoothstep(lines, 0.35, 1.0) * breaks * fine[:, None] * below_level(grid, first)


def paint_space(stage: Stage) -> Tensor:
    """Black with stars and coloured mist, and a large planet at the edge."""
    grid = stage.grid
    dark = stage.colour("07060f", "07060f")
    canvas = fade(grid, dark, stage.colour("150d2b", "150d2b"), 0, WORLD_HEIGHT)
    for index, code in enumerate(("5a2a8c", "1f4d8f", "8c2a5e")):
        luck = stage.luck(f"mist {index}", 6)
        x, y = luck[:, :2] * WORLD_WIDTH, luck[:, 2:4] * WORLD_HEIGHT
        width, height = 60 + 90 * luck[:, 4:5].expand(-1, 2), 30 + 40 * luck[:, 5:6].expand(-1, 2)
        over(canvas, stage.colour(code, code), dots(grid, x, y, width, height, torch.full_like(x, 0.4)).clamp(max=1))
    stage.stars(canvas, torch.ones_like(stage.night), WORLD_HEIGHT, count=110)
    _planet(stage, canvas)
    return canvas


def _planet(stage: Stage, canvas: Tensor) -> None:
    grid, luck = stage.grid, stage.luck("planet", 5)
    x = torch.where(luck[:, 0] < 0.5, 20.0, WORLD_WIDTH - 20.0) + (luck[:, 1] - 0.5) * 40
    y, radius = 40 + 240 * luck[:, 2], 60 + 30 * luck[:, 3]
    bands = (grid.y / 9 + 6.28 * luck[:, 4:5]).sin() * math.exp(-((grid.pitch_y / 9) ** 2) / 6)
    body = stage.colour("c98a5a", "c98a5a")[..., None, None] * (1 + 0.13 * bands[:, None, :, None])
    ball = disc(grid, x, y, radius)
    over(canvas, body.expand_as(canvas), ball)
    toward = torch.where(luck[:, 0] < 0.5, -0.5, 0.5) * radius
    lit = disc_soft(stage, x - toward, y - 0.4 * radius, radius * 1.25)
    over(canvas, stage.colour("1a0f1f", "1a0f1f"), ball * (1 - lit) * 0.85)


def disc_soft(stage: Stage, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """1 at the centre [batch], falling to 0 at the radius and beyond: [batch, height, width]."""
    grid = stage.grid
    away = (grid.x - x[:, None])[:, None].square() + (grid.y - y[:, None])[:, :, None].square()
    return 1 - smoothstep(away.sqrt() / radius[:, None, None], 0.55, 1.05)
