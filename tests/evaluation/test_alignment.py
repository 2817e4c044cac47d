"""Runs on a tiny cascade: what is kept, going on after a stop, tables."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner, Result

from show1 import Show1Pipeline
from show1.cli import app
from show1.errors import CheckpointError, SettingsError
from show1.evaluation.alignment import AlignmentRun, Reading, ceiling_of, generator_of
from show1.evaluation.prompts import Asked, world_prompts
from show1.evaluation.reference import Reference, load_recogniser
from show1.evaluation.report import failures, markdown, summarise
from show1.worlds.emoji import EmojiWorld

MANIFEST = {"model": "tiny", "seed": 0}
STAGES = ["keyframes", "interpolation", "pixel", "latent"]


@pytest.fixture
def asked(recogniser_folder: Path) -> list[Asked]:
    return world_prompts(load_recogniser(recogniser_folder).labels, "held-out", 3, 0)


def test_a_run_that_was_stopped_goes_on(pipeline: Show1Pipeline, recogniser_folder: Path, asked: list[Asked], tmp_path: Path) -> None:
    recogniser, make = load_recogniser(recogniser_folder), generator_of(pipeline, "keyframes")
    whole = list(AlignmentRun(tmp_path / "whole", MANIFEST).go_on(asked, recogniser, make))
    assert len(whole) == 3
    broken = AlignmentRun(tmp_path / "broken", MANIFEST)
    next(broken.go_on(asked, recogniser, make))
    with (tmp_path / "broken" / "readings.jsonl").open("a") as handle:
        handle.write('{"id": "held-out-1", "gro')
    again = AlignmentRun(tmp_path / "broken", MANIFEST)
    assert len(list(again.go_on(asked, recogniser, make))) == 2
    assert again.readings() == AlignmentRun(tmp_path / "whole", MANIFEST).readings()
    assert not list(again.go_on(asked, recogniser, make))


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    AlignmentRun(tmp_path, MANIFEST)
    with pytest.raises(SettingsError, match="seed 0, not 1"):
        AlignmentRun(tmp_path, {**MANIFEST, "seed": 1})


def test_ceilings_send_drawn_clips_through_each_stage_alone(pipeline: Show1Pipeline, world: EmojiWorld, asked: list[Asked]) -> None:
    videos = ceiling_of(pipeline, world, "latent")(asked[0])
    assert list(videos) == STAGES and videos["latent"].shape == (1, 3, 5, 32, 48)
    times = torch.arange(3) * 2 / 7.5
    keyframes = world.render([asked[0].scene], [asked[0].seed], times=times, width=16, height=8)  # type: ignore[list-item]
    assert torch.equal(videos["keyframes"], keyframes)
    expected = pipeline(asked[0].prompt, seed=asked[0].seed, given={"keyframes": keyframes}, stop_after="interpolation", output_type="pt")
    assert torch.equal(videos["interpolation"], expected.interpolated)


def reading(number: int, read: Mapping[str, str], group: str = "held-out") -> Reading:
    wanted = {"object": "turtle", "place": "ocean", "motion": "left", "count": "1", "size": "small"}
    seen = {**wanted, **read}
    look = {"sharpness": 0.1, "flicker": 0.2, "drift": 0.3}
    return Reading(
        f"{group}-{number}", group, "a turtle", wanted, number, {"keyframes": seen}, {"keyframes": look}, {"keyframes": [0.1] * 6}
    )


def test_tables_count_what_was_read(recogniser_folder: Path) -> None:
    readings = [reading(0, {}), reading(1, {"object": "rocket"}), reading(2, {"size": "large"}), reading(3, {}, "seen")]
    summary = summarise(readings, Reference.load(recogniser_folder))
    accuracy = summary["groups"]["held-out"]["keyframes"]["accuracy"]
    assert [accuracy[name]["right"] for name in ("object", "place", "size", "all right")] == [2, 3, 2, 2], "size is not part of all right"
    assert accuracy["object"]["interval"][0] < 2 / 3 < accuracy["object"]["interval"][1]
    assert summary["groups"]["seen"]["keyframes"]["accuracy"]["all right"]["share"] == 1.0
    text = markdown(summary)
    assert "| held-out | keyframes | 3 | 67% (21–94) |" in text and "recogniser on rendered clips" in text


def test_attributes_that_were_left_open_are_not_counted(recogniser_folder: Path) -> None:
    one = reading(0, {})
    half = Reading(**{**one.__dict__, "wanted": {"object": "turtle"}})
    accuracy = summarise([half], Reference.load(recogniser_folder))["groups"]["held-out"]["keyframes"]["accuracy"]
    assert (accuracy["object"]["of"], accuracy["motion"]["of"], accuracy["all right"]["right"]) == (1, 0, 1)


def test_failures_are_shown_with_what_was_read(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    (tmp_path / "strips").mkdir()
    for number in range(2):
        Image.new("RGB", (80, 10), "red").save(tmp_path / "strips" / f"held-out-{number}.png")
    sheet = failures([reading(0, {}), reading(1, {"object": "rocket"})], tmp_path)
    assert sheet is not None and sheet.size == (80, 24)
    assert failures([reading(0, {})], tmp_path) is None


@pytest.fixture
def evaluate(saved_pipeline: Path, recogniser_folder: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        always = ["-o", tmp_path / "run", "--model", saved_pipeline, "--recogniser", recogniser_folder, "--device", "cpu", "--samples", 2]
        return CliRunner().invoke(app, ["evaluate", "alignment", *map(str, [*always, *arguments])])

    return run


def test_the_command_writes_readings_tables_and_failures(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    for _ in range(2):  # the second time nothing is left to do
        result = evaluate()
        assert result.exit_code == 0, result.output
    lines = (tmp_path / "run" / "readings.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["held-out-0", "held-out-1", "seen-0", "seen-1"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(report["groups"]["seen"]) == STAGES
    assert (tmp_path / "run" / "report.md").read_text() in result.output
    assert Image.open(tmp_path / "run" / "failures.png").width == 8 * 144


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--prompts", "nowhere.jsonl"], "held-out, seen, both, paraphrases, sentences or a file"), (["--ceilings", 1], "--sprites")],
)
def test_what_cannot_be_measured_is_said(evaluate: Callable[..., Result], arguments: list[object], reason: str) -> None:
    result = evaluate(*arguments)
    assert result.exit_code == 1 and reason in " ".join(result.output.split()) and "Traceback" not in result.output


def test_videos_are_clamped_before_they_are_read(recogniser_folder: Path, asked: list[Asked]) -> None:
    from show1.evaluation.alignment import read_videos

    video: Tensor = 3 * torch.randn(1, 3, 5, 16, 32, generator=torch.Generator().manual_seed(0))
    recogniser = load_recogniser(recogniser_folder)
    loud, clamped = (read_videos(recogniser, asked[0], {"keyframes": v}) for v in (video, video.clamp(-1, 1)))
    assert loud == clamped


def test_a_model_that_draws_more_than_the_recogniser_knows_is_refused(
    pipeline: Show1Pipeline, recogniser_folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    pipeline.save_pretrained(model)
    index = json.loads((model / "model_index.json").read_text())
    index["vocabulary"]["objects"] = ["rocket", "unicorn"]
    (model / "model_index.json").write_text(json.dumps(index))
    arguments = ["evaluate", "alignment", "-o", tmp_path / "run", "--model", model, "--recogniser", recogniser_folder, "--device", "cpu"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1 and "object unicorn" in " ".join(result.output.split())


def test_values_that_the_recogniser_cannot_tell_are_refused(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"prompt": "two horses", "object": "horses"}\n')
    result = evaluate("--prompts", tmp_path / "mine.jsonl")
    assert result.exit_code == 1 and "object horses" in " ".join(result.output.split())


def test_a_damaged_manifest_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"run\.json"):
        AlignmentRun(tmp_path, MANIFEST)
