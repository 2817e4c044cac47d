"""`show1 upscale`, `interpolate` and `animate` on a tiny saved pipeline."""

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

import clips
from show1.cli import app
from show1.runs.run import Run


def show1(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_clips_are_upscaled_and_interpolated(saved_pipeline: Path, tmp_path: Path) -> None:
    source = clips.write(tmp_path / "v.mp4", 4, audio="aac")
    common = ("--model", saved_pipeline, "--device", "cpu")
    result = show1("upscale", source, *common, "--prompt", "a rocket", "--window", 3, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert clips.read(tmp_path / "v-upscaled.mp4")[1].shape == (4, 32, 48, 3)
    result = show1("interpolate", source, *common, "-o", tmp_path / "w.webm", "--between", 2, "--size", "16x8")
    assert result.exit_code == 0 and "note:" not in result.output, result.output
    assert clips.read(tmp_path / "w.webm")[1].shape == (10, 8, 16, 3) and clips.sound(tmp_path / "w.webm")[0] == "opus"
    larger = clips.write(tmp_path / "l.mp4", 2, size=(64, 32))
    result = show1("interpolate", larger, *common)
    assert result.exit_code == 0 and "trained at 16x8" in said(result) and (tmp_path / "l-interpolated.mp4").is_file()


def test_a_picture_is_animated_and_the_run_goes_on_with_it(saved_pipeline: Path, tmp_path: Path) -> None:
    for name, colour in (("red", (255, 0, 0, 255)), ("blue", (0, 0, 255, 255))):
        Image.new("RGBA", (50, 40), colour).save(tmp_path / f"{name}.png")
    common = ("a rocket", "-o", tmp_path / "v.mp4", "--seed", 3, "--model", saved_pipeline, "--device", "cpu")
    result = show1("animate", tmp_path / "red.png", *common, "--stop-after", "keyframes")
    assert result.exit_code == 0, result.output
    run = Run.open(tmp_path / "v.run")
    assert run.pictures("keyframes")[0].float().mean(dim=(0, 1)).tolist() == [255, 0, 0]
    (tmp_path / "red.png").unlink()
    assert show1("resume", run.folder, "--stop-after", "latent").exit_code == 0
    assert np.abs(run.pictures("pixel").numpy()[1:].astype(int) - [255, 0, 0]).mean() > 1  # the others are the model's own
    assert show1("animate", tmp_path / "blue.png", *common, "--stop-after", "keyframes").exit_code == 0
    assert run.pictures("keyframes")[0].float().mean(dim=(0, 1)).tolist() == [0, 0, 255]


def test_what_cannot_work_is_refused(saved_pipeline: Path, tmp_path: Path) -> None:
    source = clips.write(tmp_path / "v.mp4", 2)
    (tmp_path / "text.png").write_text("no picture")
    for arguments, text in (
        (("upscale", tmp_path / "none.mp4"), "no file"),
        (("upscale", source, "--size", "big"), "--size takes width and height"),
        (("upscale", source, "--strength", 0.1), "leave no step to run"),
        (("upscale", source, "-o", tmp_path / "w.gif"), "cannot write 'w.gif'"),
        (("interpolate", tmp_path / "text.png"), "is damaged at its beginning"),
        (("animate", tmp_path / "text.png", "a rocket"), "cannot read"),
        (("animate", tmp_path / "none.png", "a rocket"), "cannot read"),
    ):
        result = show1(*arguments, "--model", saved_pipeline, "--device", "cpu")
        assert result.exit_code == 1 and text in said(result), result.output
        assert "Traceback" not in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.png", "v.mp4"]
