"""Antialiased drawing in world units on grids of any resolution: the same picture, only finer or coarser.

Shapes take the pitch of the grid (world units a pixel) into account, so that a coarse drawing is close to a fine one
scaled down. Coverages are float32 [batch, height, width] in [0, 1], colours [batch, 3].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from show1.worlds.motions import WORLD_HEIGHT, WORLD_WIDTH


@dataclass(frozen=True)
class Grid:
    """Centres of pixels in world units, x [width] and y [height], and the pixels' pitches."""

    x: Tensor
    y: Tensor
    pitch_x: float
    pitch_y: float


def make_grid(height: int, width: int, crop: tuple[int, int, int, int], device: torch.device) -> Grid:
    """The pixels of a window (top, left, height, width) of a picture of the whole world."""
    top, left, rows, columns = crop
    pitch_x, pitch_y = WORLD_WIDTH / width, WORLD_HEIGHT / height
    x = (torch.arange(left, left + columns, device=device, dtype=torch.float32) + 0.5) * pitch_x
    y = (torch.arange(top, top + rows, device=device, dtype=torch.float32) + 0.5) * pitch_y
    return Grid(x, y, pitch_x, pitch_y)


def over(canvas: Tensor, colour: Tensor, coverage: Tensor) -> Tensor:
    """Paints a colour [batch, 3], or a picture of the canvas's shape, on [batch, 3, height, width], in place."""
    layer = colour[:, :, None, None] if colour.dim() == 2 else colour
    return canvas.add_((layer - canvas).mul_(coverage[:, None]))


def fade(grid: Grid, top: Tensor, bottom: Tensor, first: float, last: float) -> Tensor:
    """A vertical gradient between two colours [batch, 3] from y = first to last: [batch, 3, height, width]."""
    share = ((grid.y - first) / (last - first)).clamp(0, 1)
    column = top[:, :, None] + (bottom - top)[:, :, None] * share
    return column[..., None].repeat(1, 1, 1, len(grid.x))


def below(grid: Grid, edge: Tensor, slope: float = 0.0) -> Tensor:
    """Coverage of everything below a curve [batch, width]; steep curves need their usual slope for smooth edges."""
    softness = grid.pitch_y + slope * grid.pitch_x
    return ((grid.y[:, None] - edge[:, None]) / softness + 0.5).clamp(0, 1)


def below_level(grid: Grid, level: float) -> Tensor:
    """Coverage of everything below a level line: [batch=1, height, width]."""
    share = ((grid.y - level) / grid.pitch_y + 0.5).clamp(0, 1)
    return share[None, :, None].expand(1, -1, len(grid.x))


def waves(grid: Grid, phases: Tensor, lengths: tuple[float, ...], heights: tuple[float, ...]) -> Tensor:
    """A smooth curve [batch, width]: a sum of sines of these lengths and heights; phases [batch, count] in turns."""
    curve = torch.zeros(len(phases), len(grid.x), device=grid.x.device)
    for index, (length, height) in enumerate(zip(lengths, heights, strict=True)):
        curve += height * (6.2831853 * (grid.x / length + phases[:, index, None])).sin()
    return curve


def dots(grid: Grid, x: Tensor, y: Tensor, radius_x: Tensor, radius_y: Tensor, weight: Tensor) -> Tensor:
    """A sum of soft round dots, each with its weight; x and the rest are [batch, dot]. As one matrix product."""
    column_x, gain_x = _bell(grid.x, x, radius_x, grid.pitch_x)
    column_y, gain_y = _bell(grid.y, y, radius_y, grid.pitch_y)
    return torch.bmm(column_y.transpose(1, 2), column_x * (weight * gain_x * gain_y)[..., None])


def _bell(places: Tensor, centre: Tensor, radius: Tensor, pitch: float) -> tuple[Tensor, Tensor]:
    """A bell curve blurred by the width of a pixel, [batch, dot, place], and the height that keeps its volume."""
    blurred = radius.square() + pitch**2 / 12
    curve = (-(places - centre[..., None]).square() / (2 * blurred[..., None])).exp()
    return curve, radius / blurred.sqrt()


def disc(grid: Grid, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Coverage of one disc for each clip; x, y and radius are [batch]."""
    distance = ((grid.x - x[:, None])[:, None].square() + (grid.y - y[:, None])[:, :, None].square()).sqrt()
    pitch = (grid.pitch_x + grid.pitch_y) / 2
    return ((radius[:, None, None] - distance) / pitch + 0.5).clamp(0, 1)


def boxes(places: Tensor, first: Tensor, last: Tensor, pitch: float) -> Tensor:
    """Share of each pixel between first and last: [batch, box, place] for bounds [batch, box]."""
    reach = torch.minimum(places + pitch / 2, last[..., None]) - torch.maximum(places - pitch / 2, first[..., None])
    return (reach / pitch).clamp(0, 1)


def smoothstep(value: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)
