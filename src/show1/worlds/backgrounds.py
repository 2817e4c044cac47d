"""Backgrounds: every place by day and by night, drawn from a seed at any resolution."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from show1.worlds import outdoors, wilds
from show1.worlds.brushes import Grid
from show1.worlds.chance import Chance
from show1.worlds.scenes import Scene
from show1.worlds.stage import Stage

_PAINTERS: dict[str, Callable[[Stage], Tensor]] = {
    "sky": wilds.paint_sky,
    "ocean": wilds.paint_ocean,
    "space": wilds.paint_space,
    "beach": outdoors.paint_beach,
    "desert": outdoors.paint_desert,
    "meadow": outdoors.paint_meadow,
    "forest": outdoors.paint_forest,
    "snow": outdoors.paint_snow,
    "mountains": outdoors.paint_mountains,
    "city": outdoors.paint_city,
}


def paint_backgrounds(scenes: Sequence[Scene], chance: Chance, grid: Grid) -> Tensor:
    """float32 [batch, 3, height, width] in [0, 1]; clips of one place are painted together."""
    device = grid.x.device
    canvas = torch.empty(len(scenes), 3, len(grid.y), len(grid.x), device=device)
    for place in {scene.place: None for scene in scenes}:
        rows = torch.tensor([row for row, scene in enumerate(scenes) if scene.place == place])
        night = torch.tensor([float(scenes[row].night) for row in rows.tolist()], device=device)
        canvas[rows.to(device)] = _PAINTERS[place](Stage(grid, chance.pick(rows), night))
    return canvas.clamp_(0, 1)
