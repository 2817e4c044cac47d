"""Painters of the places with ground. Each gives [batch, 3, height, width]; the ground begins near `HORIZON`."""

from torch import Tensor

from show1.worlds.brushes import below, below_level, fade, over, waves
from show1.worlds.motions import WORLD_HEIGHT
from show1.worlds.scenery import dune, field, firs, hill, palm, peaks, road_marks, speckle, towers
from show1.worlds.stage import HORIZON, Stage
from show1.worlds.wilds import paint_water


def paint_beach(stage: Stage) -> Tensor:
    """Sky, a strip of sea, a line of foam and sand, with a palm at one side."""
    grid = stage.grid
    canvas = stage.sky(stage.colour("5fb2f0", "0b1233"), stage.colour("dff3fc", "2b3c6c"), HORIZON)
    stage.clouds(canvas, 3, 40, 90, size=0.7)
    level = 0.4 * WORLD_HEIGHT
    paint_water(stage, canvas, level, 0.62 * WORLD_HEIGHT)
    shore = 0.6 * WORLD_HEIGHT + waves(grid, stage.luck("shore", 3), (420.0, 170.0, 60.0), (9.0, 4.0, 1.5))
    over(canvas, stage.colour("ffffff", "93a4c4"), below(grid, shore - 7))
    over(canvas, stage.colour("c9a56a", "4b4460"), below(grid, shore))
    sand = fade(grid, stage.colour("eccf8f", "6b6078"), stage.colour("f6e2b0", "857690"), level, WORLD_HEIGHT)
    over(canvas, sand, below(grid, shore + 9))
    speckle(stage, canvas, "sand", 40, 0.72 * WORLD_HEIGHT, "c8a468", "4f4862")
    palm(stage, canvas)
    return canvas


def paint_desert(stage: Stage) -> Tensor:
    """A hot sky and rows of dunes, light on one side."""
    canvas = stage.sky(stage.colour("79b4dd", "141233"), stage.colour("fbe3b4", "57406b"), HORIZON)
    stage.sun(canvas, "fff0b0", 80)
    rows = (
        (HORIZON, 18.0, "d9a05a", "4a3558", "c08546", "3d2b4e"),
        (HORIZON + 42, 20.0, "e5ac5c", "574060", "cb8c45", "463252"),
        (HORIZON + 96, 18.0, "efbd6c", "64496a", "dca154", "543d5c"),
    )
    for index, (level, height, light, light_night, dark, dark_night) in enumerate(rows):
        dune(stage, canvas, f"dune {index}", level, height, (light, light_night), (dark, dark_night))
    return canvas


def paint_meadow(stage: Stage) -> Tensor:
    """Green hills with flowers under a blue sky with clouds."""
    canvas = stage.sky(stage.colour("62b1f2", "0c1536"), stage.colour("d9f0fb", "2c4070"), HORIZON)
    stage.clouds(canvas, 3, 44, 100, size=0.8)
    rows = ((HORIZON, 16.0, "8cc46a", "234a44"), (HORIZON + 34, 13.0, "6fb54e", "1d423a"))
    for index, (level, height, day, night) in enumerate(rows):
        hill(stage, canvas, f"hill {index}", level, height, day, night)
    field(stage, canvas, "near hill", (HORIZON + 78, 12.0), ("63b044", "1a3d34"), ("3f8f31", "102a26"))
    for index, (day, night) in enumerate((("ffffff", "8fa0b8"), ("ffd93b", "8c8450"), ("ef5b7a", "7d4562"))):
        speckle(stage, canvas, f"flowers {index}", 22, HORIZON + 92, day, night, 2.6)
    return canvas


def paint_forest(stage: Stage) -> Tensor:
    """Rows of fir trees, pale far away and dark near, around a clearing."""
    canvas = stage.sky(stage.colour("a9d8d2", "0a1826"), stage.colour("e3f1da", "1c3a40"), HORIZON)
    top, bottom = stage.colour("5d7a3a", "18302a"), stage.colour("3c5526", "0e1f1c")
    ground = fade(stage.grid, top, bottom, HORIZON, WORLD_HEIGHT)
    over(canvas, ground, below_level(stage.grid, HORIZON + 14))
    rows = (
        (22, HORIZON + 16, 74.0, 20.0, "7fae8c", "1f4440"),
        (16, HORIZON + 24, 104.0, 26.0, "4d8a5e", "17352f"),
        (11, HORIZON + 36, 138.0, 34.0, "2c6340", "0f2621"),
    )
    for index, (count, foot, height, width, day, night) in enumerate(rows):
        firs(stage, canvas, f"firs {index}", count, (foot, height, width), stage.colour(day, night))
    return canvas


def paint_snow(stage: Stage) -> Tensor:
    """White hills with blue shade and a few firs, and snowflakes hanging in the air."""
    canvas = stage.sky(stage.colour("9fc4de", "101a3c"), stage.colour("e8f1f7", "3a4a78"), HORIZON)
    hill(stage, canvas, "snow 0", HORIZON - 4, 20.0, "cfdfee", "46557f")
    firs(stage, canvas, "snow firs", 6, (HORIZON + 48, 72.0, 20.0), stage.colour("3f6e6a", "1c3548"))
    hill(stage, canvas, "snow 1", HORIZON + 34, 14.0, "e2edf6", "5a6a95")
    field(stage, canvas, "near snow", (HORIZON + 80, 14.0), ("ffffff", "8592b8"), ("d7e4f1", "6474a0"))
    speckle(stage, canvas, "flakes", 60, 0.0, "ffffff", "c8d3ee", 2.4)
    return canvas


def paint_mountains(stage: Stage) -> Tensor:
    """Jagged grey peaks with white caps above a green valley."""
    grid = stage.grid
    canvas = stage.sky(stage.colour("6aa7dc", "0b1230"), stage.colour("dcecf5", "33426e"), HORIZON)
    far = peaks(stage, "far peaks", 7, HORIZON - 30, 70.0)
    over(canvas, stage.colour("9aa9c4", "2b3557"), below(grid, far, slope=1.1))
    near = peaks(stage, "near peaks", 5, HORIZON + 10, 120.0)
    rock = below(grid, near, slope=1.1)
    over(canvas, stage.colour("6f7690", "232a47"), rock)
    snow_line = HORIZON - 52 + waves(grid, stage.luck("caps", 2), (38.0, 17.0), (8.0, 5.0))
    over(canvas, stage.colour("f7fafd", "a9b4d4"), rock * (1 - below(grid, snow_line)))
    hill(stage, canvas, "foothill", HORIZON + 22, 9.0, "5f8f55", "1c3a36")
    field(stage, canvas, "valley", (HORIZON + 62, 10.0), ("7da862", "22443b"), ("527d3d", "14302a"))
    return canvas


def paint_city(stage: Stage) -> Tensor:
    """Two rows of towers with windows, which are lit at night, above a street."""
    grid = stage.grid
    canvas = stage.sky(stage.colour("8fb8da", "0c1030"), stage.colour("f3dcc4", "3b3566"), HORIZON + 40)
    street = 0.66 * WORLD_HEIGHT
    towers(stage, canvas, "far towers", 15, (street, 95.0, 75.0), ("a3afc2", "232850"), ("b9c6d6", "b59a6a"))
    towers(stage, canvas, "near towers", 9, (street, 60.0, 90.0), ("66728c", "161a38"), ("c5dcec", "ffd978"))
    over(canvas, stage.colour("a8a8ac", "3a3d58"), below_level(grid, street))
    over(canvas, stage.colour("55585f", "1f2236"), below_level(grid, street + 14))
    road_marks(stage, canvas, street + 60)
    return canvas
