"""`show1 data prepare`: what cannot be used is counted, the rest comes out as shards, whole or not at all."""

import csv
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import tiny
from making_clips import captioned, write_broken, write_clip, write_sound, write_vae
from show1.cli import app
from show1.data import prepare as preparing
from show1.data.prepare import Preparation, PrepareSettings
from show1.data.records import read_array
from show1.data.sources import open_source
from show1.data.storage import read_part
from show1.errors import DataError, SettingsError

SMALL = PrepareSettings(min_size=(72, 40), shard_clips=2)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "prepare", *[str(a) for a in arguments]])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with four clips that can be used, and one of each kind that cannot."""
    folder = captioned(tmp_path / "mixed", 3)
    write_clip(folder / "portrait.webm", size=(40, 72))
    broken = {"cut.mp4": lambda p: write_broken(p), "sound.mp4": write_sound, "short.mp4": lambda p: write_clip(p, seconds=1.0)}
    more = {"still.mp4": lambda p: write_clip(p, times=[0.0]), "small.mp4": lambda p: write_clip(p, size=(64, 36)), "a.mov": write_clip}
    for name, write in {**broken, **more}.items():
        write(folder / name)
    for name in ("portrait", "cut", "sound", "short", "still", "small", "a"):
        (folder / f"{name}.txt").write_text(name)
    write_clip(folder / "mute.mp4", seconds=0.2)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "empty.txt").write_text("an empty file")
    return folder


SKIPPED = {"unreadable": 2, "no video": 1, "too short": 2, "too small": 1, "other kind": 1, "no caption": 1}


def test_what_cannot_be_used_is_counted_and_named(mixed: Path, tmp_path: Path) -> None:
    done: list[int] = []
    summary = Preparation(str(mixed), tmp_path / "out", SMALL).run(done.append)
    assert summary["skipped"] == SKIPPED and summary["clips"] == 4 and sum(done) == 12
    with (tmp_path / "out" / "skipped.csv").open() as file:
        rows = {row["clip"]: row["reason"] for row in csv.DictReader(file)}
    assert rows["cut.mp4"] == "unreadable" and rows["small.mp4"] == "too small" and len(rows) == 8
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == summary


def test_shards_hold_the_clips_as_they_were(mixed: Path, tmp_path: Path) -> None:
    Preparation(str(mixed), tmp_path / "out", SMALL).run()
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [p.name for p in shards] == ["000000.tar", "000001.tar"]
    with tarfile.open(shards[0]) as tar:
        assert [m.name for m in tar] == [f"0000000{i}.{e}" for i in (0, 1) for e in ("mp4", "txt", "json")]
    for source in (tmp_path / "out", tmp_path / "out" / "dataset.json", f"{tmp_path}/out/{{000000..000001}}.tar"):
        records = open_source(str(source)).records
        assert [record.caption() for record in records] == ["clip number 0", "clip number 1", "clip number 2", "portrait"]
        assert records[0].video_bytes() == (mixed / "000.mp4").read_bytes()
        assert (records[3].width, records[3].height, records[3].seconds) == (40, 72, pytest.approx(4.0, abs=0.01))
    index = json.loads((tmp_path / "out" / "000001.tar.index.json").read_text())
    assert [".webm" in sample["parts"] for sample in index["samples"]] == [False, True]


def test_foreign_shards_are_prepared_like_folders(mixed: Path, tmp_path: Path) -> None:
    Preparation(str(mixed), tmp_path / "one", SMALL).run()
    for index in (tmp_path / "one").glob("*.index.json"):
        index.unlink()
    again = Preparation(f"{tmp_path}/one/*.tar", tmp_path / "two", SMALL).run()
    assert again["clips"] == 4 and not again["skipped"]


def test_the_same_set_gives_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 3)):
        Preparation(str(mixed), tmp_path / name, SMALL, workers=workers).run()
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def test_a_preparation_that_was_stopped_goes_on_after_its_last_whole_shard(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Preparation(str(mixed), tmp_path / "whole", SMALL).run()
    seen: list[str] = []
    plain = preparing.check_clip

    def check(record: Any, settings: Any) -> Any:
        seen.append(record.key)
        return plain(record, settings)

    monkeypatch.setattr(preparing, "check_clip", check)

    def stop(clips: int, done: list[int] = []) -> None:  # noqa: B006
        done.append(clips)
        if sum(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Preparation(str(mixed), tmp_path / "out", SMALL).run(stop)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000000.tar", "000000.tar.index.json", "prepare.json"]
    seen.clear()
    Preparation(str(mixed), tmp_path / "out", SMALL).run()
    assert "000.mp4" not in seen and "002.mp4" in seen, "what a whole shard holds is not read again"
    whole, out = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("whole", "out"))
    assert whole == out


def test_a_full_disk_leaves_whole_shards_and_no_half_ones(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tarfile.TarFile.addfile

    def add(self: Any, info: Any, file: Any = None) -> None:
        if info.name.startswith("00000002"):
            raise OSError(28, "No space left on device")
        plain(self, info, file)

    monkeypatch.setattr(tarfile.TarFile, "addfile", add)
    with pytest.raises(DataError, match="No space left"):
        Preparation(str(mixed), tmp_path / "out", SMALL).run()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000000.tar", "000000.tar.index.json", "prepare.json"]


def test_another_set_s_folder_is_left_alone(mixed: Path, tmp_path: Path) -> None:
    Preparation(str(mixed), tmp_path / "out", SMALL)
    with pytest.raises(DataError, match="min_size"):
        Preparation(str(mixed), tmp_path / "out", PrepareSettings(shard_clips=2))
    with pytest.raises(DataError, match="holds other things"):
        Preparation(str(mixed), mixed, SMALL)


def test_a_set_of_nothing_that_can_be_used(tmp_path: Path) -> None:
    captioned(tmp_path / "clips", 2, seconds=0.5)
    summary = Preparation(str(tmp_path / "clips"), tmp_path / "out", SMALL).run()
    assert (summary["clips"], summary["shards"], summary["skipped"]) == (0, [], {"too short": 2})
    assert not list((tmp_path / "out").glob("*.tar"))


def test_the_command_says_what_it_did(mixed: Path, tmp_path: Path) -> None:
    result = run(mixed, "-o", tmp_path / "out", "--min-size", "72x40")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert (
        "not used: 8 clips" in text
        and "skipped.csv" in text
        and re.search(r"too short . 2", text)
        and "4 clips, 0.3 minutes, in 1 shard" in text
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--min-size", "big"), "256x160, not 'big'"),
        (("--shard-clips", "0"), "shard_clips is 0"),
        (("--text-encoder", "nowhere"), "nowhere"),
        (("--vae", "nowhere"), "nowhere"),
        (("--vae", "nowhere", "--min-seconds", "1"), "29 frames"),
    ],
)
def test_what_was_asked_wrongly_is_named(mixed: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    result = run(mixed, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 1 and reason in " ".join(result.output.split()) and "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_settings_that_cannot_be_are_refused() -> None:
    for values in ({"shard_bytes": 0}, {"min_seconds": -1.0}):
        with pytest.raises(SettingsError, match=next(iter(values))):
            PrepareSettings(**values)  # type: ignore[arg-type]


def test_embeddings_and_latents_are_computed_ahead(saved_pipeline: Path, tmp_path: Path) -> None:
    captioned(tmp_path / "clips", 2)
    encoders = [part for name in ("text_encoder", "latent_text_encoder") for part in ("--text-encoder", saved_pipeline / name)]
    result = run(
        tmp_path / "clips", "-o", tmp_path / "out", "--min-size", "72x40", "--tokens", 12, *encoders, "--vae", write_vae(tmp_path / "vae")
    )
    assert result.exit_code == 0, result.output
    listing = open_source(str(tmp_path / "out"))
    record = listing.records[0]
    assert {name: record.array(name).shape for name in ("t5", "clip")} == {"t5": (12, tiny.TEXT_WIDTH), "clip": (32, tiny.TEXT_WIDTH)}
    latents = record.array("latents")
    assert latents.shape[:2] == (29, 8) and latents.dtype == np.float16 and np.isfinite(latents).all()
    made = listing.summary["prepared"]
    assert set(made) == {"t5", "clip", "latents"} and made["latents"]["size"] == [576, 320]
    empty = read_array(read_part(listing.beside(made["t5"]["empty"])), "empty")
    assert empty.shape == (12, tiny.TEXT_WIDTH) and not np.array_equal(empty, record.array("t5"))
