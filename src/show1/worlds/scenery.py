"""Pieces of landscapes, painted in place on a canvas [batch, 3, height, width]; colours are (day, night) hex codes."""

import torch
from torch import Tensor

from show1.worlds.brushes import below, below_level, boxes, dots, fade, over, waves
from show1.worlds.motions import WORLD_HEIGHT, WORLD_WIDTH
from show1.worlds.stage import Stage


def hill(stage: Stage, canvas: Tensor, name: str, level: float, height: float, day: str, night: str) -> None:
    """A hill across the picture, about `height` high above and below its level."""
    phases = stage.luck(name, 3)
    edge = level + waves(stage.grid, phases, (390.0, 210.0, 97.0), (height * 0.6, height * 0.35, height * 0.12))
    over(canvas, stage.colour(day, night), below(stage.grid, edge))


def field(stage: Stage, canvas: Tensor, name: str, shape: tuple[float, float], top: tuple[str, str], bottom: tuple[str, str]) -> None:
    """The ground before us: like a hill, but shaded down to the lower edge. shape is its upper edge and its height."""
    level, height = shape
    edge = level + waves(stage.grid, stage.luck(name, 2), (510.0, 220.0), (height * 0.7, height * 0.35))
    ground = fade(stage.grid, stage.colour(*top), stage.colour(*bottom), level, WORLD_HEIGHT)
    over(canvas, ground, below(stage.grid, edge))


def dune(stage: Stage, canvas: Tensor, name: str, level: float, height: float, light: tuple[str, str], dark: tuple[str, str]) -> None:
    """A dune with a lit side; the line between light and shade runs down from the crests."""
    grid, luck = stage.grid, stage.luck(name, 3)
    edge = level + waves(grid, luck, (430.0, 190.0, 900.0), (height * 0.55, height * 0.4, height * 0.4))
    cover = below(grid, edge)
    over(canvas, stage.colour(*light), cover)
    depth = (grid.y[:, None] - edge[:, None]).clamp(min=0)
    slope = (6.2831853 * ((grid.x - 0.9 * depth) / 190.0 + luck[:, 1, None, None])).cos()
    over(canvas, stage.colour(*dark), cover * (slope * 3 + 0.5).clamp(0, 1) * (-depth / 70).exp())


def speckle(stage: Stage, canvas: Tensor, name: str, count: int, first: float, day: str, night: str, size: float = 1.8) -> None:
    """Small dots scattered below y = first."""
    luck = stage.luck(name, 3 * count).view(stage.batch, 3, count)
    x, y = luck[:, 0] * WORLD_WIDTH, first + luck[:, 1] * (WORLD_HEIGHT - first)
    radius = size * (0.7 + 0.6 * luck[:, 2])
    over(canvas, stage.colour(day, night), dots(stage.grid, x, y, radius, radius * 0.8, torch.ones_like(x)).clamp(max=1))


def firs(stage: Stage, canvas: Tensor, name: str, count: int, shape: tuple[float, float, float], colour: Tensor) -> None:
    """A row of pointed trees; shape is the y of their feet, their height and half their width at the foot."""
    grid, (foot, height, width) = stage.grid, shape
    luck = stage.luck(name, 3 * count).view(stage.batch, 3, count)
    centres = (torch.arange(count, device=grid.x.device) + 0.5 + (luck[:, 0] - 0.5) * 0.9) * (WORLD_WIDTH / count)
    tall = height * (0.7 + 0.45 * luck[:, 1])
    feet = foot + 5 * (luck[:, 2] - 0.5)
    away = (grid.x - centres[..., None]).abs()  # [batch, tree, width]
    tops = (feet - tall)[..., None] + away * (tall / width)[..., None]
    outline = torch.where(away < width, tops, 1e4).amin(dim=1)
    over(canvas, colour, below(grid, outline, slope=0.8 * height / width) * (1 - below_level(grid, foot + 2)))


def peaks(stage: Stage, name: str, count: int, foot: float, height: float) -> Tensor:
    """The upper edge of a row of peaks: [batch, width]."""
    grid, luck = stage.grid, stage.luck(name, 4 * count).view(stage.batch, 4, count)
    centres = (torch.arange(count, device=grid.x.device) + 0.5 + (luck[:, 0] - 0.5) * 0.8) * (WORLD_WIDTH / count)
    tops = foot - height * (0.55 + 0.45 * luck[:, 1])
    away = grid.x - centres[..., None]
    steep = torch.where(away < 0, 0.9 + 0.5 * luck[:, 2:3].transpose(1, 2), 0.9 + 0.5 * luck[:, 3:4].transpose(1, 2))
    edge = (tops[..., None] + away.abs() * steep).amin(dim=1)
    rough = waves(grid, luck[:, 0, :3], (53.0, 29.0, 17.0), (3.0, 2.0, 1.2))
    return torch.minimum(edge + rough, torch.full_like(edge, foot))


def towers(
    stage: Stage,
    canvas: Tensor,
    name: str,
    count: int,
    shape: tuple[float, float, float],
    walls: tuple[str, str],
    panes: tuple[str, str],
) -> None:
    """A row of towers; shape is the y of their feet, their least height and what chance adds to it."""
    grid, (foot, least, more) = stage.grid, shape
    luck = stage.luck(name, 3 * count).view(stage.batch, 3, count)
    step = WORLD_WIDTH / count
    left = (torch.arange(count, device=grid.x.device) + 0.25 * luck[:, 0]) * step
    right = left + step * (0.72 + 0.25 * luck[:, 1])
    columns = boxes(grid.x, left, right, grid.pitch_x)
    rows = boxes(grid.y, foot - least - more * luck[:, 2], torch.full_like(left, foot), grid.pitch_y)
    cover = torch.bmm(rows.transpose(1, 2), columns).clamp(max=1)
    over(canvas, stage.colour(*walls), cover)
    lit = stage.colour(*panes)
    over(canvas, lit, _windows(stage, name, left, right, rows, foot))


def _windows(stage: Stage, name: str, left: Tensor, right: Tensor, rows: Tensor, foot: float) -> Tensor:
    """Coverage of window panes in a grid on each tower, [batch, height, width]: each tower a product of two combs."""
    grid, across, up = stage.grid, 3, 14
    batch, count = left.shape
    pitch = (right - left) / across
    first = left[..., None] + pitch[..., None] * (torch.arange(across, device=grid.x.device) + 0.28)
    combs = boxes(grid.x, first.flatten(1), (first + pitch[..., None] * 0.44).flatten(1), grid.pitch_x)
    combs = combs.view(batch, count, across, -1).sum(dim=2)
    floors = foot - 12.0 * torch.arange(1, up + 1, device=grid.x.device) - 2
    bars = boxes(grid.y, floors.expand(batch, -1), floors.expand(batch, -1) + 6.0, grid.pitch_y)
    bars = (bars * stage.luck(f"{name} lights", up, 0.5, 1.0)[..., None]).sum(dim=1, keepdim=True)
    return torch.bmm((bars * rows).transpose(1, 2), combs).clamp(max=1) * 0.8


def road_marks(stage: Stage, canvas: Tensor, level: float) -> None:
    """White dashes along the middle of the street."""
    grid, count = stage.grid, 8
    first = (torch.arange(count, device=grid.x.device) + stage.luck("marks", 1)) * (WORLD_WIDTH / count)
    dashes = boxes(grid.x, first, first + 36, grid.pitch_x).sum(dim=1, keepdim=True)
    stripe = boxes(grid.y, torch.full_like(first[:, :1], level), torch.full_like(first[:, :1], level + 6), grid.pitch_y)
    over(canvas, stage.colour("f2efe4", "8a8da6"), torch.bmm(stripe.transpose(1, 2), dashes))


def palm(stage: Stage, canvas: Tensor) -> None:
    """A palm at the left or right edge: a bent trunk and a crown of hanging leaves, all of soft dots."""
    grid, luck = stage.grid, stage.luck("palm", 3)
    side = torch.where(luck[:, 0] < 0.5, -1.0, 1.0)[:, None]
    foot_x = WORLD_WIDTH / 2 + side * (WORLD_WIDTH / 2 - 44 - 30 * luck[:, 1:2])
    along = torch.linspace(0, 1, 14, device=grid.x.device)[None]
    top = 0.62 * WORLD_HEIGHT - 128 - 20 * luck[:, 2:3]
    trunk_x = foot_x - side * 26 * along.square()
    trunk_y = 0.66 * WORLD_HEIGHT + (top - 0.66 * WORLD_HEIGHT) * along
    width = 5.5 - 2 * along.expand_as(trunk_x)
    trunk = dots(grid, trunk_x, trunk_y, width, torch.full_like(width, 8.0), torch.full_like(width, 1.2)).clamp(max=1)
    over(canvas, stage.colour("8d6238", "3b2c3c"), trunk)
    angles = torch.tensor([-2.75, -2.0, -1.2, -0.4, 0.2, 3.35], device=grid.x.device)[None, :, None]
    reach = torch.linspace(0.1, 1, 9, device=grid.x.device)[None, None]
    leaf_x = (trunk_x[:, -1:, None] + 50 * reach * angles.cos()).flatten(1)
    leaf_y = (trunk_y[:, -1:, None] + 30 * reach * angles.sin() + 24 * reach.square()).flatten(1)
    thick = (6.5 - 4.5 * reach).expand(stage.batch, 6, -1).flatten(1)
    leaves = dots(grid, leaf_x, leaf_y, thick + 1.5, thick, torch.full_like(leaf_x, 1.2)).clamp(max=1)
    over(canvas, stage.colour("3c9a44", "16402f"), leaves)
