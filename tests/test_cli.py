"""The command line on a tiny saved pipeline."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from show1.cli import app
from show1.video import read_metadata

PROMPT = "a rocket flies over the ocean"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def generate(model: Path, output: Path, *arguments: object) -> Result:
    return run("generate", PROMPT, "-o", output, "--model", model, "--seed", 3, "--device", "cpu", *arguments)


def refused(result: Result, text: str) -> None:
    """It says what is wrong, in one go, and leaves with a status that is not zero."""
    assert result.exit_code == 1
    assert re.search(text, " ".join(result.output.split())), result.output
    assert "Traceback" not in result.output and (result.exception is None or isinstance(result.exception, SystemExit))


def test_a_video_is_made_and_the_last_line_says_where_and_how_long(saved_pipeline: Path, tmp_path: Path) -> None:
    result = generate(saved_pipeline, tmp_path / "v.mp4")
    assert result.exit_code == 0, result.output
    last = result.output.strip().splitlines()[-1]
    assert str(tmp_path / "v.mp4") in last and "seed 3" in last
    for stage in ("start-up", "keyframes", "interpolation", "pixel", "latent", "all"):
        assert re.search(rf"{stage} \d+\.\d s", last), last
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, len(list(container.decode(stream)))) == (48, 32, 5)
        assert float(stream.average_rate) == 7.5


def test_metadata_says_how_the_video_was_made(saved_pipeline: Path, tmp_path: Path) -> None:
    assert generate(saved_pipeline, tmp_path / "v.gif", "--steps", "keyframes=3", "--stop-after", "keyframes").exit_code == 0
    values = read_metadata(tmp_path / "v.gif")
    assert (values["prompt"], values["seed"], values["stop_after"]) == (PROMPT, 3, "keyframes")
    assert values["model"] == str(saved_pipeline) and values["show1"]
    assert values["settings"]["keyframes"]["steps"] == 3


def test_the_same_seed_makes_the_same_file(saved_pipeline: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        assert generate(saved_pipeline, tmp_path / name, "--stop-after", "interpolation").exit_code == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_each_stage_is_written_when_asked(saved_pipeline: Path, tmp_path: Path) -> None:
    assert generate(saved_pipeline, tmp_path / "v.gif", "--save-stages").exit_code == 0
    sizes = {}
    for path in tmp_path.glob("*.gif"):
        with Image.open(path) as picture:
            sizes[path.name] = (*picture.size, picture.n_frames)
    assert sizes.keys() == {"v.gif", "v-keyframes.gif", "v-interpolation.gif", "v-pixel.gif"}
    assert sizes["v.gif"][:2] == (48, 32) and sizes["v-pixel.gif"][:2] == (32, 16) and sizes["v-keyframes.gif"][:2] == (16, 8)


def test_stages_after_the_last_are_not_made(saved_pipeline: Path, tmp_path: Path) -> None:
    result = generate(saved_pipeline, tmp_path / "v.webm", "--stop-after", "pixel", "--steps", 2, "--guidance", "keyframes=3,pixel=1")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.run", "v.webm"]
    assert "latent" not in result.output.strip().splitlines()[-1]


def test_unknown_words_are_said(saved_pipeline: Path, tmp_path: Path) -> None:
    arguments = ("-o", tmp_path / "v.gif", "--model", saved_pipeline, "--stop-after", "keyframes")
    result = run("generate", "a quokka [bold]over the ocean", *arguments)
    assert result.exit_code == 0 and "quokka" in result.output and "show1 models" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--stop-after", "sr3"), "'sr3'.*keyframes, interpolation, pixel, latent"),
        (("--steps", "many"), "--steps takes a number.*'many'"),
        (("--steps", "0"), "steps is 0"),
        (("--steps", "keyframes=3=4"), "--steps"),
        (("--steps", "sr1=3"), "unknown stage 'sr1'"),
        (("--guidance", "keyframes=x"), "--guidance"),
        (("--seed", "-1"), "seed -1"),
        (("--dtype", "int4"), "unknown dtype 'int4'"),
        (("--device", "abacus"), "abacus"),
        (("--output", "video.avi"), r"\.avi"),
    ],
)
def test_what_cannot_work_is_refused(saved_pipeline: Path, tmp_path: Path, arguments: tuple[str, str], text: str) -> None:
    refused(generate(saved_pipeline, tmp_path / "v.mp4", *arguments), text)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(generate(tmp_path / "nowhere", tmp_path / "v.mp4"), "nowhere")


def test_an_output_that_cannot_be_written_is_refused(saved_pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(generate(saved_pipeline, tmp_path / "file" / "v.mp4", "--stop-after", "keyframes"), "cannot write")


def test_a_missing_prompt_is_a_usage_error() -> None:
    assert run("generate").exit_code == 2


def test_models_lists_what_can_be_drawn(saved_pipeline: Path) -> None:
    result = run("models", saved_pipeline)
    assert result.exit_code == 0, result.output
    assert "rocket, turtle" in result.output and "published" in result.output and "bundled" in result.output


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("generate", "resume", "explore", "models", "train", "assemble", "data", "evaluate", "bench"):
        assert command in result.output


def test_a_configuration_of_another_stage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('stage = "vae"\nsteps = 1\nbatch_size = 1\n')
    refused(run("train", "latent", "--config", tmp_path / "run.toml", "-o", tmp_path / "run"), "'vae', not 'latent'")
    refused(run("train", "vae", "--config", tmp_path / "run.toml", "-o", tmp_path / "run"), "sprites")


def test_help_is_quick_and_the_module_runs() -> None:
    code = "import sys; import show1.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False, timeout=60).returncode == 0
    done = subprocess.run([sys.executable, "-m", "show1", "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "generate" in done.stdout
