"""Sprites without a download: drawn shapes, and stills from an emoji font."""

import math
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from show1.errors import DataError
from show1.worlds.chance import hash_words
from show1.worlds.scenes import check_word
from show1.worlds.sprite_files import CELL, SpriteInfo, fit_in_cell
from show1.worlds.vocabulary import OBJECT_TABLE

_FRAMES = 6
_NOTO_SIZE = 109  # the one size that the bitmap font holds


def draw_stand_in(name: str, seed: int) -> tuple[Tensor, SpriteInfo]:
    """A coloured polygon with a head on the side that the object's sprite faces, and a waving tail."""
    chance = random.Random(hash_words("stand-in", name, seed))
    faces = OBJECT_TABLE[name].faces if name in OBJECT_TABLE else "left"
    colour = tuple(chance.randrange(40, 256) for _ in range(3))
    corners, lean = chance.randrange(3, 9), chance.random()
    frames = []
    for index in range(_FRAMES):
        picture = Image.new("RGBA", (CELL, CELL), (0, 0, 0, 0))
        _draw_body(ImageDraw.Draw(picture), corners, lean, colour, faces, math.sin(2 * math.pi * index / _FRAMES))
        frames.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return fit_in_cell(torch.stack(frames), seconds=1.0)


def _draw_body(pen: ImageDraw.ImageDraw, corners: int, lean: float, colour: tuple[int, ...], faces: str, wave: float) -> None:
    centre, radius = CELL / 2, CELL * 0.3
    angles = [2 * math.pi * (corner + lean) / corners for corner in range(corners)]
    outline = [(centre + radius * math.cos(angle), centre + radius * math.sin(angle)) for angle in angles]
    pen.polygon(outline, fill=(*colour, 255))
    side = {"left": -1, "right": 1, "front": 0}[faces]
    head_x, head_y = centre + side * radius, centre - (0 if side else radius)
    pen.ellipse((head_x - 22, head_y - 22, head_x + 22, head_y + 22), fill=(250, 220, 60, 255))
    pen.line((centre - side * radius, centre, centre - side * radius * 1.3, centre + 30 * wave), (*colour, 255), 12)


def draw_from_font(font: Path, name: str) -> Tensor:
    """uint8 [channel=4, height, width] with straight alpha: the object's emoji from a colour bitmap font."""
    check_word("object", name, OBJECT_TABLE)
    text = "".join(chr(int(part, 16)) for part in OBJECT_TABLE[name].code.split("-"))
    try:
        typeface = ImageFont.truetype(str(font), size=_NOTO_SIZE)
    except OSError as error:
        raise DataError(f"{font} is not a colour emoji font that can be drawn at size {_NOTO_SIZE}: {error}") from error
    picture = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(picture).text((10, 10), text, font=typeface, embedded_color=True)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
