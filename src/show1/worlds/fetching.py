"""Fetches the Fluent animated emoji (MIT) with npm and packs those that the emoji world needs."""

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from show1.errors import DataError, Show1Error
from show1.worlds.sprite_files import SpriteInfo, fit_in_cell, save_sprites
from show1.worlds.vocabulary import OBJECTS, ThingWords

# Animations first; the stills are asked only for what no animation has.
PACKAGES = (*(f"@lobehub/fluent-emoji-anim-{part}" for part in (1, 2, 3, 4)), "@lobehub/fluent-emoji-3d")
SOURCE = "Fluent emoji by Microsoft (MIT), from the npm packages " + ", ".join(PACKAGES)
_FRAME_SECONDS = 0.042  # of the animations; their files give it as 42 ms
_NPM_SECONDS = 1800


def fetch_sprites(folder: str | Path, report: Callable[[str], None] = print) -> None:
    """Downloads the sprite packages one at a time (730 MB in all) and writes a store of about 200 MB to `folder`.

    Needs npm and a network; nothing but the store is left behind. `report` is told of the progress.
    """
    wanted = {entry.code: entry for entry in OBJECTS}
    sprites: dict[str, tuple[Tensor, SpriteInfo]] = {}
    for package in PACKAGES:
        if not wanted:
            break
        report(f"Downloading {package} ...")
        with tempfile.TemporaryDirectory(prefix="show1-sprites-") as scratch:
            for code, path in _extract(_npm_pack(package, Path(scratch)), set(wanted)):
                entry = wanted.pop(code)
                sprites[entry.name] = _read_animation(path, entry)
        report(f"{len(sprites)} of {len(OBJECTS)} sprites")
    if wanted:
        missing = ", ".join(entry.name for entry in wanted.values())
        raise DataError(f"The npm packages no longer hold sprites for: {missing}.")
    in_order = {entry.name: sprites[entry.name] for entry in OBJECTS}
    save_sprites(Path(folder), in_order, SOURCE)
    report(f"Sprites are in {folder}.")


def _npm_pack(package: str, scratch: Path) -> Path:
    """Downloads the newest tarball of a package into the scratch folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise Show1Error("npm is needed to fetch the sprites and was not found: install Node.js, then try again.")
    command = [npm, "pack", package, "--silent", "--pack-destination", str(scratch)]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Show1Error(f"npm took more than {_NPM_SECONDS // 60} minutes to download {package}.") from error
    tarballs = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        lines = (done.stderr or done.stdout).strip().splitlines()
        why = lines[0] if lines else f"exit code {done.returncode}"
        raise Show1Error(f"npm could not download {package} ({why}). Is there a network connection?")
    return tarballs[0]


def _extract(tarball: Path, codes: set[str]) -> Iterator[tuple[str, Path]]:
    """Writes the pictures of these code points beside the tarball, which is deleted at the end."""
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                code = Path(member.name).stem
                if member.isfile() and member.name.endswith(".webp") and code in codes:
                    content = archive.extractfile(member)
                    if content is not None:
                        path = tarball.with_name(f"{code}.webp")
                        path.write_bytes(content.read())
                        yield code, path
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Show1Error(f"The download {tarball.name} is damaged ({error}). Try again.") from error
    tarball.unlink()


def _read_animation(path: Path, entry: ThingWords) -> tuple[Tensor, SpriteInfo]:
    """The used part of an animated picture, fitted into cells; a whole animation is a loop, a part goes to and fro."""
    try:
        with Image.open(path) as picture:
            total = getattr(picture, "n_frames", 1)
            kept = min(total, entry.frames)
            frames = [_frame(picture, index) for index in range(kept)]
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"The sprite of {entry.name} cannot be read ({error}).") from error
    to_and_fro = 1 < kept < total
    steps = 2 * (kept - 1) if to_and_fro else kept
    seconds = steps * _FRAME_SECONDS if kept > 1 else 0.0
    return fit_in_cell(torch.stack(frames), seconds, to_and_fro=to_and_fro)


def _frame(picture: Image.Image, index: int) -> Tensor:
    picture.seek(index)
    return torch.from_numpy(np.array(picture.convert("RGBA"))).permute(2, 0, 1)
