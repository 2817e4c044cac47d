"""`show1 batch` on Ray embedded here: the same videos as one by one, failures that stop nothing, and going on."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import processes
from show1.batch.cluster import connected
from show1.cli import app

PROMPTS = "a rocket flies\n" + '{"prompt": "two turtles", "id": "turtles", "seed": 5, "settings": {"steps": {"latent": 4}}}\n{oops\n'


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Ray embedded in this process, and its address for others."""
    import ray

    with connected(None, 1):  # two CPUs, which the workers share: Ray starts a process for each
        yield ray.get_runtime_context().gcs_address


def show1(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "videos").iterdir()}


@pytest.fixture(scope="module")
def alone(saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The prompts' videos as `show1 generate` makes them."""
    folder = tmp_path_factory.mktemp("alone")
    for prompt, name, seed, steps in (("a rocket flies", "000001", 0, "latent=3"), ("two turtles", "turtles", 5, "latent=4")):
        same = ("--seed", seed, "--steps", steps, "--model", saved_pipeline, "--device", "cpu")
        assert show1("generate", prompt, "-o", folder / f"{name}.mp4", *same).exit_code == 0
    return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}


def test_videos_are_those_of_single_generations(cluster: str, saved_pipeline: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    (tmp_path / "prompts.jsonl").write_text(PROMPTS)
    folder = tmp_path / "out"
    command = ("batch", tmp_path / "prompts.jsonl", "-o", folder, "--model", saved_pipeline, "--device", "cpu", "--shards")
    first = show1(*command)
    assert first.exit_code == 1 and "2 made, 0 were there, 0 failed, 1 lines refused" in first.output, first.output
    assert "line 3: not valid JSON" in first.output
    assert [line["state"] for line in results(folder)] == ["finished", "finished", "refused"]
    made = contents(folder)
    assert {name: made[name][0] for name in alone} == alone and len(made) == 4
    assert not list((folder / "runs").iterdir())  # no runs, no temporary files
    _check_shards(folder)
    (tmp_path / "prompts.jsonl").write_text(PROMPTS.replace("{oops\n", ""))
    second = show1(*command)
    assert second.exit_code == 0 and "0 made, 2 were there" in second.output and contents(folder) == made, second.output


def _check_shards(folder: Path) -> None:
    from webdataset import WebDataset

    samples = list(WebDataset(str(folder / "shards" / "000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["000001", "turtles"]
    assert samples[1]["mp4"] == (folder / "videos" / "turtles.mp4").read_bytes() and samples[1]["txt"] == b"two turtles"
    assert json.loads(samples[1]["json"])["settings"]["latent"]["steps"] == 4


def test_stopped_by_ctrl_c_the_same_command_goes_on_and_failures_stop_nothing(cluster: str, saved_pipeline: Path, tmp_path: Path) -> None:
    folder, said = tmp_path / "out", tmp_path / "said.txt"
    (tmp_path / "prompts.jsonl").write_text("a rocket flies\n" * 6 + '{"prompt": "a horse", "id": "horse"}\n')
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "horse").write_text("in the way")
    command: list[object] = ["batch", tmp_path / "prompts.jsonl", "-o", folder, "--model", saved_pipeline, "--device", "cpu"]
    command += ["--stop-after", "keyframes", "--threads", "1"]
    process = processes.show1(*command, "--address", cluster, said=said)
    while not list(folder.glob("videos/*.json")):
        assert process.is_alive(), said.read_text()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGINT)
    process.join(120)
    text = said.read_text()
    assert process.exitcode == 130 and "the same command goes on" in text and "Traceback" not in text, text
    assert [line["state"] for line in results(folder)].count("waiting") > 0
    before = contents(folder)
    again = show1(*command)
    assert again.exit_code == 1 and "1 failed" in again.output and "horse: keyframes: '" in again.output, again.output
    assert [line["state"] for line in results(folder)] == ["finished"] * 6 + ["failed"]
    after = contents(folder)
    whole = [name for name in before if name.removesuffix(".json").isdigit() and name.endswith(".json")]
    assert whole and all(after[name] == before[name] for name in whole)
    (folder / "runs" / "horse").unlink()
    last = show1(*command)
    assert last.exit_code == 0 and "1 made, 6 were there, 0 failed" in last.output, last.output
    assert {name: contents(folder)[name] for name in after} == after and (folder / "videos" / "horse.mp4").is_file()
