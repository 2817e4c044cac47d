"""Sprites on disk: one safetensors file of uint8 frames, and a manifest that says what they are."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from show1.errors import DataError
from show1.worlds.scenes import check_word

CELL = 192  # pixels: side of the square that every sprite frame is stored in
_FRAMES_FILE = "sprites.safetensors"
_MANIFEST_FILE = "sprites.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SpriteInfo:
    """What is known of a sprite besides its frames. Extents are fractions of the cell's side."""

    width: float  # of the box around all frames; it is centred in the cell
    height: float
    seconds: float  # one loop at the sprite's natural speed, 0 for a still
    to_and_fro: bool = False  # frames are played forth and back


def save_sprites(folder: Path, sprites: Mapping[str, tuple[Tensor, SpriteInfo]], source: str) -> None:
    """Writes frames, each uint8 [frame, channel=4, CELL, CELL] with premultiplied alpha, and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: frames.contiguous() for name, (frames, _) in sprites.items()}, folder / _FRAMES_FILE)
    entries = {name: asdict(info) for name, (_, info) in sprites.items()}
    manifest = {"format": _FORMAT, "cell": CELL, "source": source, "sprites": entries}
    (folder / _MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, SpriteInfo]:
    """The sprites of a folder by name; a `DataError` where there are none."""
    path = folder / _MANIFEST_FILE
    if not path.is_file():
        raise DataError(f"There are no sprites in {folder}. Fetch them with: show1 data sprites {folder}")
    try:
        manifest = json.loads(path.read_text())
        if (manifest["format"], manifest["cell"]) != (_FORMAT, CELL):
            raise DataError(f"The sprites in {folder} are of another version of show1. Fetch them again.")
        return {name: SpriteInfo(**entry) for name, entry in manifest["sprites"].items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}). Fetch the sprites again.") from error


def read_frames(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """uint8 [frame, channel=4, CELL, CELL] for each of the named sprites."""
    path = folder / _FRAMES_FILE
    try:
        with safe_open(path, framework="pt") as file:
            stored = set(file.keys())
            for name in names:
                check_word("sprite", name, stored)
            return {name: file.get_tensor(name) for name in names}
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Fetch the sprites again.") from error


def fit_in_cell(frames: Tensor, seconds: float, to_and_fro: bool = False) -> tuple[Tensor, SpriteInfo]:
    """Cuts frames to the box around all their ink and scales that box to fill a cell, centred.

    frames: uint8 [frame, channel=4, height, width] with straight alpha. Returned frames are premultiplied.
    """
    straight = frames.float() / 255
    alpha = straight[:, 3:]
    premultiplied = torch.cat([straight[:, :3] * alpha, alpha], dim=1)
    ink = (alpha > 0.04).any(dim=0)[0]
    rows, columns = torch.nonzero(ink.any(dim=1))[:, 0], torch.nonzero(ink.any(dim=0))[:, 0]
    if len(rows) == 0:
        raise DataError("A sprite is empty.")
    box = premultiplied[:, :, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    room = CELL - 4  # a clear rim keeps edges soft when a cell is sampled
    scale = room / max(box.shape[-2:])
    height, width = (max(1, round(side * scale)) for side in box.shape[-2:])
    resized = torch.nn.functional.interpolate(box, (height, width), mode="bicubic", antialias=True, align_corners=False)
    cell = torch.zeros(len(frames), 4, CELL, CELL)
    top, left = (CELL - height) // 2, (CELL - width) // 2
    cell[:, :, top : top + height, left : left + width] = resized.clamp(0, 1)
    cell[:, :3] = torch.minimum(cell[:, :3], cell[:, 3:])
    info = SpriteInfo(width=width / CELL, height=height / CELL, seconds=seconds, to_and_fro=to_and_fro)
    return (cell * 255).round().to(torch.uint8), info
