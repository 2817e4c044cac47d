"""Runs: made stage by stage, stopped anywhere, and always the same bytes in the end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch import nn

import tiny
from show1 import Show1Pipeline, write_video
from show1.cascade.settings import STAGES
from show1.errors import DataError, PromptError, SettingsError, Show1Error
from show1.runs.locking import RunBusyError
from show1.runs.progress import Progress, multiplications
from show1.runs.request import Request
from show1.runs.run import Run
from show1.video import read_metadata

ASKED = Request(prompt="a rocket flies over the ocean", seed=3)
FILES = ("keyframes.safetensors", "interpolation.safetensors", "pixel.safetensors", "latent.mkv", "video.mp4")


def contents(run: Run) -> dict[str, bytes]:
    return {name: (run.folder / name).read_bytes() for name in FILES}


def copy_of(run: Run, place: Path) -> Run:
    """A run that a test may change."""
    return Run.open(shutil.copytree(run.folder, place / "run"))


@pytest.fixture(scope="module")
def unbroken(pipeline: Show1Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("runs") / "unbroken", ASKED)
    assert run.state == "waiting" and run.advance(pipeline) == "finished"
    return run


def test_a_run_makes_what_one_call_of_the_pipeline_makes(pipeline: Show1Pipeline, unbroken: Run, tmp_path: Path) -> None:
    whole = pipeline(ASKED.prompt, seed=3, output_type="pt").stages()
    assert unbroken.finished == list(STAGES) and unbroken.state == "finished"
    for stage in ("keyframes", "interpolation", "pixel"):
        assert torch.equal(unbroken.stage(stage), whole[stage][0])
    write_video(whole["latent"][0], tmp_path / "v.mp4", 7.5, unbroken.metadata())
    assert (tmp_path / "v.mp4").read_bytes() == unbroken.video_path.read_bytes()
    assert sorted(p.name for p in unbroken.folder.iterdir()) == sorted((*FILES, "run.json", ".lock"))


def test_the_manifest_says_what_was_made_how_and_in_what_time(unbroken: Run) -> None:
    values = json.loads((unbroken.folder / "run.json").read_text())
    assert values["request"]["prompt"] == ASKED.prompt and values["request"]["seed"] == 3
    assert values["settings"]["keyframes"]["steps"] == 2 and values["versions"]["torch"] == torch.__version__
    assert values["model"]["dtype"] == "float32" and len(values["model"]["components"]) == 17
    assert all(values["stages"][stage]["seconds"] > 0 for stage in STAGES) and values["seconds"] > 0


@pytest.mark.parametrize("passes", [0, 3, 9, 20])
def test_a_stopped_run_ends_in_the_same_bytes(pipeline: Show1Pipeline, unbroken: Run, tmp_path: Path, passes: int) -> None:
    run = Run.create(tmp_path / "run", ASKED)
    left = iter(range(passes))
    assert run.advance(pipeline, should_stop=lambda: next(left, None) is None) == "stopped"
    assert run.state == "stopped" and not (run.folder / "video.mp4").exists()
    again = Run.open(run.folder)
    made: list[str] = []
    before = again.finished
    assert again.advance(pipeline, on_stage=made.append) == "finished"
    assert before + made == list(STAGES)
    assert contents(again) == contents(unbroken)


def test_progress_only_grows_and_ends_at_one(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    told: list[Progress] = []
    Run.create(tmp_path / "run", ASKED).advance(pipeline, on_progress=told.append)
    fractions = [p.fraction for p in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert list(dict.fromkeys(p.stage for p in told)) == [*STAGES, "video"]
    for stage, passes in {"keyframes": 2, "interpolation": 2, "pixel": 2 + 2 * 2, "latent": 5 + 2 + 5}.items():
        of_stage = [p for p in told if p.stage == stage]
        assert [p.step for p in of_stage] == [*range(passes + 1), passes] and of_stage[0].steps == passes
        assert of_stage[-2].stage_fraction == pytest.approx(1)  # the plan is what was run


def test_a_weight_costs_a_quarter_at_each_coarser_level() -> None:
    def convolution(inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 1, bias=False)

    down, up = nn.ModuleList([convolution(2, 2), convolution(2, 4)]), nn.ModuleList([convolution(4, 2), convolution(2, 2)])
    ends = {"conv_in": convolution(1, 2), "mid_block": convolution(4, 4), "conv_out": convolution(2, 1)}
    whole = nn.ModuleDict({**ends, "down_blocks": down, "up_blocks": up, "time_embedding": nn.Linear(9, 9)})
    assert multiplications(whole) == 2 + 4 + 8 / 4 + 16 / 4 + 8 / 4 + 4 + 2
    assert multiplications(nn.ModuleDict({**ends, "down_blocks": down})) == 2 + 4 + 8 / 4 + 16 / 4 + 2 / 4
    assert multiplications(nn.ModuleDict({**ends, "up_blocks": up})) == 2 / 4 + 16 / 4 + 8 / 4 + 4 + 2
    row = [convolution(2, 4), nn.Upsample(scale_factor=2), convolution(4, 4), nn.Upsample(scale_factor=2), convolution(4, 1)]
    assert multiplications(nn.ModuleDict({"layers": nn.Sequential(*row)})) == 8 / 16 + 16 / 4 + 4


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, 4),
        ({"steps": {"latent": 4}}, 3),
        ({"guidance": {"first_frame": 3.0}}, 2),
        ({"steps": {"interpolation": 1}}, 1),
        ({"seed": 4}, 0),
        ({"prompt": "two turtles"}, 0),
        ({"frames": 7}, 0),
        ({"from_stage": "pixel"}, 2),
        ({"stop_after": "pixel"}, 4),
        ({"settings": replace(tiny.SETTINGS, fps=5.0).to_dict()}, 4),
        ({"ending": ".gif"}, 4),
    ],
)
def test_only_what_depends_on_a_change_is_made_anew(
    pipeline: Show1Pipeline, unbroken: Run, tmp_path: Path, changes: dict[str, Any], kept: int
) -> None:
    run = copy_of(unbroken, tmp_path)
    before = {stage: entry["finished"] for stage, entry in run.read()["stages"].items()}
    run.change(**changes)
    assert run.advance(pipeline) == "finished"
    after = {stage: entry["finished"] for stage, entry in run.read()["stages"].items()}
    assert [after[s] == before[s] for s in STAGES] == [True] * kept + [False] * (4 - kept)
    if "from_stage" not in changes:
        fresh = Run.create(tmp_path / "fresh", ASKED.changed(**changes))
        fresh.advance(pipeline)
        assert fresh.video_path.read_bytes() == run.video_path.read_bytes()


def test_a_model_with_another_latent_network_makes_only_that_stage_anew(unbroken: Run, tmp_path: Path) -> None:
    run = copy_of(unbroken, tmp_path)
    other = tiny.make_pipeline(tmp_path / "tokenizers")
    with torch.no_grad():
        other.latent_unet.conv_out.bias += 0.1
    made: list[str] = []
    run.advance(other, on_stage=made.append)
    assert made == ["latent"]


def test_a_damaged_stage_is_made_anew(pipeline: Show1Pipeline, unbroken: Run, tmp_path: Path) -> None:
    run = copy_of(unbroken, tmp_path)
    with (run.folder / "pixel.safetensors").open("r+b") as file:
        file.seek(-5, 2)
        file.write(b"x")
    (run.folder / "video.mp4").unlink()
    made: list[str] = []
    run.advance(pipeline, on_stage=made.append)
    assert made == ["pixel", "latent"] and contents(run) == contents(unbroken)


def test_two_do_not_work_on_one_run(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", ASKED)
    with FileLock(run.folder / ".lock"):
        assert run.is_busy()
        for act in (lambda: run.advance(pipeline), lambda: run.change(seed=4), run.delete):
            with pytest.raises(RunBusyError, match="at work"):
                act()
    assert not run.is_busy() and run.request.seed == 3
    run.delete()
    assert not run.folder.exists()


def test_the_folder_of_a_killed_process_is_a_stopped_run(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", replace(ASKED, stop_after="keyframes"))
    values = {**run.read(), "state": "running"}
    (run.folder / "run.json").write_text(json.dumps(values))
    (run.folder / ".keyframes-abc.safetensors").write_bytes(b"half")
    assert run.state == "stopped" and run.advance(pipeline) == "finished"
    assert not list(run.folder.glob(".keyframes*"))


def test_an_error_is_kept_and_the_run_can_go_on(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", replace(ASKED, frames=6))
    with pytest.raises(SettingsError, match=r"6 frames.*use 5 or 7"):
        run.advance(pipeline)
    assert run.state == "failed" and "use 5 or 7" in run.read()["error"]
    run.change(frames=5, stop_after="keyframes")
    assert run.advance(pipeline) == "finished" and "error" not in run.read()


def test_a_preview_is_a_video_of_a_stage(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", replace(ASKED, stop_after="keyframes"))
    with pytest.raises(DataError, match="not finished"):
        run.preview("keyframes")
    run.advance(pipeline)
    assert run.preview("keyframes").name == "preview-keyframes.mp4" and read_metadata(run.preview("keyframes")) == {}
    assert run.pictures("keyframes").shape == (3, 8, 16, 3)


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"prompt": 3}, PromptError, "must be text"),
        ({"stop_after": "sr3"}, SettingsError, "'sr3'"),
        ({"ending": ".avi"}, SettingsError, r"\.avi"),
        ({"seed": -1}, SettingsError, "seed -1"),
        ({"settings": {"colour": 1}}, SettingsError, "'colour'"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], error: type[Show1Error], text: str) -> None:
    with pytest.raises(error, match=text):
        Request(**{"prompt": "a rocket", **values})


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run's folder"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format"):
        Run.open(tmp_path)
    with pytest.raises(DataError, match="there already"):
        Run.create(tmp_path, ASKED)
    with pytest.raises(DataError, match="unknown colour"):
        Request.from_dict({"prompt": "a", "colour": 1})


def test_odd_prompts_are_kept_without_control_characters(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", Request(prompt="火箭 \x00\ud800 «a»", stop_after="keyframes"))
    assert Run.open(run.folder).request.prompt == "火箭    «a»" and run.request.seed is not None
    assert run.advance(pipeline) == "finished"
