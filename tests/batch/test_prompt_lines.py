"""A batch's prompts: what a line may be, and what is said of lines that cannot be used."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from show1.batch.prompts import BadLine, Job, check_id, read_prompts
from show1.errors import DataError
from show1.runs.request import Request

DEFAULTS = Request(prompt="", seed=10, steps={"latent": 4})


def read(folder: Path, content: bytes) -> tuple[list[Job], list[BadLine]]:
    (folder / "prompts.jsonl").write_bytes(content)
    return read_prompts(folder / "prompts.jsonl", DEFAULTS, tiny.SETTINGS, lambda request: request.cascade(tiny.SETTINGS))


def test_lines_are_json_or_plain_text(tmp_path: Path) -> None:
    lines = [
        "\ufeffa rocket",
        "",
        '{"prompt": "ein Stern", "id": "stern-ä", "seed": 3, "negative_prompt": "rain"}\r',
        '{"prompt": "", "id": 7}',
    ]
    jobs, bad = read(tmp_path, "\n".join(lines).encode())
    assert bad == [] and [job.id for job in jobs] == ["000001", "stern-ä", "7"]
    assert [job.request.seed for job in jobs] == [10, 3, 13]
    assert jobs[0].request == replace(DEFAULTS, prompt="a rocket")
    assert jobs[1].request.negative_prompt == "rain"


def test_a_line_changes_some_settings(tmp_path: Path) -> None:
    settings = {"steps": {"keyframes": 5}, "frames": 7, "fps": 5, "pixel": {"guidance": 3}}
    jobs, _ = read(tmp_path, json.dumps({"prompt": "a", "settings": settings}).encode())
    made = jobs[0].request.cascade(tiny.SETTINGS)
    pixel = replace(tiny.SETTINGS.pixel, guidance=3)
    assert made == replace(
        tiny.SETTINGS,
        keyframes=replace(tiny.SETTINGS.keyframes, steps=5),
        latent=replace(tiny.SETTINGS.latent, steps=4),
        pixel=pixel,
        num_keyframes=4,
        fps=5,
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"prompt": "a"', "not valid JSON"),
        (b'["a"]', '"prompt" is needed'),
        (b'{"id": "a"}', '"prompt" is needed'),
        (b'{"prompt": "a", "colour": 1}', "unknown key 'colour'"),
        (b'{"prompt": 3}', "must be text"),
        (b'{"prompt": null}', "must be text"),
        (b'{"prompt": "a", "seed": "x"}', "'x' is not a whole number"),
        (b'{"prompt": "a", "seed": -1}', "seed -1"),
        (b'{"prompt": "a", "settings": {"colour": 1}}', "'colour'"),
        (b'{"prompt": "a", "settings": {"frames": 6}}', "use 5 or 7"),
        (b'{"prompt": "a", "settings": {"steps": "many"}}', "wrong kind"),
        (b'{"prompt": "a", "settings": {"pixel": 3}}', "names with values"),
        (b'{"prompt": "a", "settings": 3}', "names with values"),
        (b'{"prompt": "a", "id": "../a"}', "cannot name a file"),
        (b"caf\xe9", "not UTF-8"),
        (b"a" * 10_001, "at most 10000"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"prompt": "a", "id": "X"}\n{"prompt": "b", "id": "x"}', "taken by line 2"),
    ],
)
def test_bad_lines_are_told_and_the_others_kept(tmp_path: Path, line: bytes, told: str) -> None:
    jobs, bad = read(tmp_path, b"a star\n" + line)
    assert [job.line for job in jobs] == [1, 2][: len(jobs)] and len(bad) == 1
    assert bad[0].line == line.count(b"\n") + 2 and told in bad[0].error


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "a/b", "a\\b", "a.b", "-rf", "a\0", "a b", "x" * 101, "é" * 51, 1.5, True, ["a"]]
)
def test_ids_that_could_be_paths_are_refused(name: object) -> None:
    with pytest.raises(DataError, match="cannot name a file"):
        check_id(name)


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prompts"):
        read(tmp_path, b"\n \n")
    with pytest.raises(DataError, match="cannot read"):
        read_prompts(tmp_path / "nothing", DEFAULTS, tiny.SETTINGS, lambda request: None)
