"""Sprites are fetched with a clear message when they cannot be, stored compactly, and read back."""

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from show1.errors import DataError, Show1Error
from show1.worlds.fetching import PACKAGES, fetch_sprites
from show1.worlds.sprite_files import CELL, fit_in_cell
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import OBJECTS

_FAKE_NPM = """#!{python}
import shutil, sys
package, target = sys.argv[2], sys.argv[sys.argv.index("--pack-destination") + 1]
shutil.copy({tarball!r}, target)
"""


def _picture(colour: tuple[int, int, int], frames: int) -> bytes:
    drawn = []
    for index in range(frames):
        picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        picture.paste((*colour, 255), (4 + index, 8, 20 + index, 24))
        drawn.append(picture)
    buffer = io.BytesIO()
    drawn[0].save(buffer, "WEBP", save_all=True, append_images=drawn[1:], duration=42, lossless=True)
    return buffer.getvalue()


def _fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, codes: list[str]) -> None:
    tarball = folder / "package.tgz"
    content = {frames: _picture((200, 30, 30), frames) for frames in (1, 5)}
    with tarfile.open(tarball, "w:gz") as archive:
        for index, code in enumerate([*codes, "1f4a9"]):
            data = content[5 if index % 2 else 1]
            member = tarfile.TarInfo(f"package/assets/{code}.webp")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    _install(folder, monkeypatch, _FAKE_NPM.format(python=sys.executable, tarball=str(tarball)))


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    npm = folder / "bin" / "npm"
    npm.parent.mkdir(exist_ok=True)
    npm.write_text(script)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_fetching_packs_the_chosen_sprites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_npm(tmp_path, monkeypatch, [entry.code for entry in OBJECTS])
    lines: list[str] = []
    fetch_sprites(tmp_path / "store", lines.append)
    assert lines[0].endswith(f"{PACKAGES[0]} ...") and str(tmp_path / "store") in lines[-1]
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"sprites.json", "sprites.safetensors"}
    store = SpriteStore.load(tmp_path / "store")
    assert store.names == tuple(entry.name for entry in OBJECTS)
    still, moving = store.infos["turtle"], store.infos["horse"]
    assert still.seconds == 0 and moving.seconds == pytest.approx(5 * 0.042)
    assert still.width == pytest.approx(still.height, abs=0.02) and moving.width > moving.height
    few = SpriteStore.load(tmp_path / "store", ["horse"], largest=48)
    assert few.names == ("horse",) and few.sides[0] == 48
    with pytest.raises(DataError, match="Did you mean horse"):
        SpriteStore.load(tmp_path / "store", ["horze"])


def test_missing_sprites_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_npm(tmp_path, monkeypatch, [entry.code for entry in OBJECTS[2:]])
    with pytest.raises(DataError, match="turtle, horse"):
        fetch_sprites(tmp_path / "store", lambda line: None)
    assert not (tmp_path / "store").exists()


def test_no_npm_and_no_network_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, monkeypatch, "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    with pytest.raises(Show1Error, match=r"ENOTFOUND.*network"):
        fetch_sprites(tmp_path / "store", lambda line: None)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(Show1Error, match=r"install Node\.js"):
        fetch_sprites(tmp_path / "store", lambda line: None)


def test_a_folder_without_sprites_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="show1 data sprites"):
        SpriteStore.load(tmp_path)
    (tmp_path / "sprites.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        SpriteStore.load(tmp_path)


def test_fitting_centres_the_ink_and_premultiplies() -> None:
    frames = torch.zeros(2, 4, 64, 64, dtype=torch.uint8)
    frames[0, :, 10:30, 5:15] = torch.tensor([200, 100, 0, 128], dtype=torch.uint8)[:, None, None]
    frames[1, :, 20:40, 5:15] = 255
    cells, info = fit_in_cell(frames, seconds=1.0)
    assert cells.shape == (2, 4, CELL, CELL)
    assert info.height > 0.95 and info.width == pytest.approx(info.height / 3, abs=0.02)
    assert bool((cells[:, :3] <= cells[:, 3:]).all())
    middle = cells[0, :, CELL // 4, CELL // 2]
    assert middle.tolist() == pytest.approx([100, 50, 0, 128], abs=2)


def test_loops_and_to_and_fro() -> None:
    store = SpriteStore.synthetic(["turtle", "car"])
    picks = store.frames_at(["turtle", "car"], torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.5, 1.25]]))
    assert picks.tolist() == [[0, 3, 0], [6, 9, 7]]
