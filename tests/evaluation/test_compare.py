"""Two runs, video by video."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from show1.cli import app
from show1.evaluation.alignment import Reading
from show1.evaluation.statistics import Z95, paired_interval

WANTED = {"object": "car", "place": "sky", "motion": "left", "count": "1"}


def write(folder: Path, objects: list[str], seed: int = 0) -> Path:
    folder.mkdir()
    lines = []
    for index, name in enumerate(objects):
        read = {"keyframes": {**WANTED, "object": name}}
        lines.append(json.dumps(asdict(Reading(f"p-{index}", "seen", f"prompt {index}", WANTED, seed + index, read, {}, {}))))
    (folder / "readings.jsonl").write_text("\n".join([*lines, '{"id": "cut sho']))
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", "compare", *map(str, arguments)])
    return result.exit_code, result.output


def test_what_only_one_shows_is_counted(tmp_path: Path) -> None:
    first = write(tmp_path / "first", ["car", "car", "whale", "car", "whale"])
    second = write(tmp_path / "second", ["car", "whale", "car", "whale"])
    code, text = run(first, second)
    low, high = (100 * end for end in paired_interval(2, 1, 4))
    assert code == 0
    assert f"| keyframes | object | 4 | 3 | 2 | 2 | 1 | -25.0 ({low:+.1f} to {high:+.1f}) |" in text
    assert "| keyframes | place | 4 | 4 | 4 | 0 | 0 | +0.0 " in text and "| keyframes | all right | 4 | 3 | 2 | 2 | 1 |" in text
    assert "| keyframes | size | 0 | 0 | 0 | 0 | 0 | +0.0 (-100.0 to +100.0) |" in text and "latent" not in text


def test_folders_without_readings_or_of_other_seeds_are_refused(tmp_path: Path) -> None:
    first, other = write(tmp_path / "first", ["car"]), write(tmp_path / "other", ["car"], seed=9)
    code, text = run(first, tmp_path / "nothing")
    assert code == 1 and "holds no readings" in text and "Traceback" not in text
    code, text = run(first, other)
    assert code == 1 and "no prompt with its seed in common" in " ".join(text.split())


def test_intervals_of_changes() -> None:
    assert paired_interval(0, 0, 0) == (-1.0, 1.0)
    low, high = paired_interval(3, 3, 98)
    assert low == pytest.approx(-high) and high == pytest.approx(Z95 * (0.08 / 100) ** 0.5)
    assert sum(paired_interval(0, 9, 98)) / 2 == pytest.approx(0.09)
