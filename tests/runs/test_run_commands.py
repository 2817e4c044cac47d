"""`show1 generate`, `resume` and `explore`: runs that are killed, continued, changed and chosen from."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import processes
from show1.cli import app
from show1.runs.run import Run

PROMPT = "a rocket flies over the ocean"
STEPS = "keyframes=6,interpolation=6,first_frame=6,pixel=6,latent=30"  # long enough to be killed in


def show1(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def asked(model: Path, output: Path, *more: object) -> list[object]:
    return ["generate", PROMPT, "-o", output, "--model", model, "--seed", 3, "--device", "cpu", "--steps", STEPS, *more]


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in ("run.json", ".lock")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def stop_when_there(arguments: list[object], path: Path, how: signal.Signals, said: Path) -> int:
    """Run the command and send the signal as soon as the file is there; its exit status."""
    process = processes.show1(*arguments, said=said)
    while not path.exists():
        assert process.is_alive(), said.read_text()
        time.sleep(0.002)
    os.kill(process.pid, how)
    process.join(60)
    return int(process.exitcode)


@pytest.fixture
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a command in another process writes."""
    return tmp_path_factory.mktemp("said") / "said.txt"


@pytest.fixture(scope="module")
def unbroken(saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("unbroken")
    result = show1(*asked(saved_pipeline, folder / "v.mp4"))
    assert result.exit_code == 0, result.output
    return contents(folder)


def test_killed_at_several_points_a_run_ends_in_the_same_bytes(
    saved_pipeline: Path, tmp_path: Path, unbroken: dict[str, bytes], said: Path
) -> None:
    folder = tmp_path / "v.run"
    for arguments, file in (
        (asked(saved_pipeline, tmp_path / "v.mp4"), "run.json"),
        (["resume", folder, "--device", "cpu"], "keyframes.safetensors"),
        (["resume", folder], "pixel.safetensors"),
    ):
        assert stop_when_there(arguments, folder / file, signal.SIGKILL, said) == -signal.SIGKILL
        assert not (tmp_path / "v.mp4").exists()
        assert Run.open(folder).state in ("waiting", "stopped")
    result = show1("resume", folder)
    assert result.exit_code == 0, result.output
    assert re.search(r"made now: (pixel, )?latent\n", result.output), result.output  # killed just before its entry, a stage is made again
    assert contents(tmp_path) == unbroken


def test_ctrl_c_says_how_to_go_on_and_the_same_command_goes_on_too(
    saved_pipeline: Path, tmp_path: Path, unbroken: dict[str, bytes], said: Path
) -> None:
    status = stop_when_there(
        asked(saved_pipeline, tmp_path / "v.mp4"), tmp_path / "v.run" / "interpolation.safetensors", signal.SIGINT, said
    )
    text = said.read_text()
    assert status == 130 and "Traceback" not in text, text
    assert re.search(r"stopped \(keyframes.* finished\); go on with: show1 resume \S*v\.run", text), text
    made = Run.open(tmp_path / "v.run").read()["stages"]["keyframes"]["finished"]
    assert show1(*asked(saved_pipeline, tmp_path / "v.mp4")).exit_code == 0
    assert Run.open(tmp_path / "v.run").read()["stages"]["keyframes"]["finished"] == made
    assert contents(tmp_path) == unbroken


def test_resume_with_changes_makes_only_what_depends_on_them(saved_pipeline: Path, tmp_path: Path) -> None:
    show1(*asked(saved_pipeline, tmp_path / "v.mp4", "--steps", 2, "--stop-after", "keyframes"))
    for arguments, made in (
        (("--stop-after", "latent"), "interpolation, pixel, latent"),
        ((), "nothing but the file"),
        (("--guidance", "latent=3"), "latent"),
        (("--from-stage", "pixel"), "pixel, latent"),
        (("--seed", 4), "keyframes, interpolation, pixel, latent"),
        (("-o", tmp_path / "other.gif"), "nothing but the file"),
    ):
        result = show1("resume", tmp_path / "v.mp4", *arguments)
        assert result.exit_code == 0 and f"made now: {made}\n" in result.output, result.output
    assert (tmp_path / "other.gif").is_file()
    refused = show1("resume", tmp_path / "v.run", "--from-stage", "sr3")
    assert refused.exit_code == 1 and "'sr3'" in refused.output


def test_a_finished_run_gives_way_and_an_unfinished_one_stays(saved_pipeline: Path, tmp_path: Path) -> None:
    quick = ("--stop-after", "keyframes", "--steps")
    for steps in (1, 2):
        assert show1(*asked(saved_pipeline, tmp_path / "v.gif", *quick, steps)).exit_code == 0
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["v.gif", "v.run"]
    Run.open(tmp_path / "v.run").change(seed=9)
    assert show1(*asked(saved_pipeline, tmp_path / "v.gif", *quick, 1)).exit_code == 0
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["v-2.run", "v.gif", "v.run"]
    result = show1(*asked(saved_pipeline, tmp_path / "v.gif", *quick, 1, "--run", tmp_path / "v.run"))
    assert result.exit_code == 1 and "choose another --run" in " ".join(result.output.split())


def test_seeds_are_explored_and_one_is_taken_to_full_size(saved_pipeline: Path, tmp_path: Path) -> None:
    folder = tmp_path / "explore"
    command = ("explore", PROMPT, "-o", folder, "--model", saved_pipeline, "--steps", 2, "--device", "cpu")
    for seeds in (2, 3):  # the second goes on where the first ended
        result = show1(*command, "--seeds", seeds)
        assert result.exit_code == 0, result.output
    assert sorted(p.name for p in folder.iterdir()) == ["contact-sheet.png", "explore.json", "seed-0", "seed-1", "seed-2"]
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.size == (3 * 128 + 2 * 4, 3 * (14 + 64 + 4) - 4)
    assert show1("resume", folder, "--seed", 2).exit_code == 0
    show1(*asked(saved_pipeline, tmp_path / "alone.mp4", "--seed", 2, "--steps", 2))
    assert (folder / "seed-2.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    for arguments, text in (((), "choose a seed"), (("--seed", 7), "seed 7 was not explored.*0, 1, 2")):
        refused = show1("resume", folder, *arguments)
        assert refused.exit_code == 1 and re.search(text, " ".join(refused.output.split()))
    show1("explore", "two turtles", "-o", folder, "--seeds", 1, "--model", saved_pipeline)
    assert (tmp_path / "explore-2" / "contact-sheet.png").is_file()


def test_a_run_keeps_to_its_memory_budget_when_it_goes_on(saved_pipeline: Path, tmp_path: Path, said: Path) -> None:
    folder = tmp_path / "v.run"
    begun = asked(saved_pipeline, tmp_path / "v.mp4", "--memory", "3GB", "--steps", 2, "--dtype", "float32", "--stop-after", "keyframes")
    for arguments, budget in ((begun, 3 * 10**9), (["resume", folder, "--stop-after", "interpolation", "--device", "cpu"], 3 * 10**9)):
        process = processes.show1(*arguments, said=said)
        process.join(120)
        assert process.exitcode == 0 and "predicted peak" in said.read_text(), said.read_text()
        assert Run.open(folder).read()["machine"]["memory"] == budget
        said.write_text("")
    refused = show1("resume", folder, "--stop-after", "latent", "--memory", "10MB")
    assert refused.exit_code == 1 and "the smallest plan needs" in " ".join(refused.output.split()), refused.output
    refused = show1("resume", folder, "--memory", "3GB", "--compile")
    assert refused.exit_code == 1 and "without --memory" in " ".join(refused.output.split()), refused.output
    assert Run.open(folder).finished == ["keyframes", "interpolation"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    result = show1("resume", tmp_path / "nowhere.mp4")
    assert result.exit_code == 1 and "neither a run's folder" in " ".join(result.output.split())
