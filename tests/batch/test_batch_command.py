"""`show1 batch` on Ray embedded here: the same videos as one by one, failures that stop nothing, and going on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from show1.batch.cluster import connected
from show1.cli import app

PROMPTS = "a rocket flies\n" + '{"prompt": "two turtles", "id": "turtles", "seed": 5, "settings": {"steps": {"latent": 4}}}\n{oops\n'


def heed_interrupts() -> None:
    """In a child: take Ctrl-C as a terminal sends it, even where the tests run in the background and ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


def test_videos_are_those_of_single_generations_and_failures_stop_nothing(
    cluster: str, saved_pipeline: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    (tmp_path / "prompts.jsonl").write_text(PROMPTS + '{"prompt": "a horse", "id": "horse"}\n')
    folder = tmp_path / "out"
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "horse").write_text("in the way")
    command = ("batch", tmp_path / "prompts.jsonl", "-o", folder, "--model", saved_pipeline, "--device", "cpu", "--shards")
    first = show1(*command)
    assert first.exit_code == 1 and "2 made, 0 were there, 1 failed, 1 lines refused" in first.output, first.output
    assert "line 3: not valid JSON" in first.output and "horse: keyframes: '" in first.output
    assert [line["state"] for line in results(folder)] == ["finished", "finished", "refused", "failed"]
    made = contents(folder)
    assert {name: made[name][0] for name in alone} == alone and len(made) == 4
    assert list((folder / "runs").iterdir()) == [folder / "runs" / "horse"]  # no runs, no temporary files

    (folder / "runs" / "horse").unlink()
    (tmp_path / "prompts.jsonl").write_text((tmp_path / "prompts.jsonl").read_text().replace("{oops", ""))
    second = show1(*command)
    assert second.exit_code == 0 and "1 made, 2 were there, 0 failed" in second.output, second.output
    assert {name: contents(folder)[name] for name in made} == made and (folder / "videos" / "horse.mp4").is_file()
    assert "0 made, 3 were there" in show1(*command).output
    _check_shards(folder)


def _check_shards(folder: Path) -> None:
    from webdataset import WebDataset

    samples = list(WebDataset(str(folder / "shards" / "000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["000001", "turtles", "horse"]
    assert samples[1]["mp4"] == (folder / "videos" / "turtles.mp4").read_bytes() and samples[1]["txt"] == b"two turtles"
    assert json.loads(samples[1]["json"])["settings"]["latent"]["steps"] == 4


def test_stopped_by_ctrl_c_the_same_command_goes_on(cluster: str, saved_pipeline: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    (tmp_path / "prompts.txt").write_text("\n".join(["a rocket flies"] * 6))
    command = [
        "batch",
        tmp_path / "prompts.txt",
        "-o",
        tmp_path / "out",
        "--model",
        saved_pipeline,
        "--device",
        "cpu",
        "--address",
        cluster,
    ]
    command = [sys.executable, "-m", "show1", *map(str, command), "--threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts
    )
    while not list((tmp_path / "out").glob("videos/[0-9]*.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130 and "the same command goes on" in said and "Traceback" not in said, said
    states = [line["state"] for line in results(tmp_path / "out")]
    before = contents(tmp_path / "out")
    assert states.count("waiting") > 0, states
    again = show1(*command[3:])
    assert again.exit_code == 0 and "0 failed" in again.output, again.output
    after = contents(tmp_path / "out")
    whole = [name for name in before if name.removesuffix(".json").isdigit() and name.endswith(".json")]
    assert whole and all(after[name] == before[name] for name in whole)
    assert after["000001.mp4"][0] == alone["000001.mp4"] and len(after) == 12
