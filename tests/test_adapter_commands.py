"""`show1 customize`, and `--adapter` of `show1 generate` and `resume`."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from making_clips import write_clip
from show1.cascade.adapter_files import WEIGHTS
from show1.cli.common import named_adapters
from show1.errors import SettingsError
from show1.runs.run import Run
from show1.video import read_metadata
from test_cli import generate, refused, run

ASKED = ("--prompt", "a rocket flies over the ocean", "--steps", 2, "--learning-rate", 0.05)


@pytest.fixture(scope="module")
def adapter(saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("customised")
    clip = write_clip(folder / "clip.mp4", seconds=1.5)
    result = run("customize", "motion", clip, *ASKED, "-o", folder / "zigzag", "--model", saved_pipeline, "--rank", 2)
    assert result.exit_code == 0, result.output
    assert f"--adapter {folder / 'zigzag'}" in result.output
    assert {tensor.shape[0] for name, tensor in load_file(folder / "zigzag" / WEIGHTS).items() if "lora_A" in name} == {2}
    return folder / "zigzag"


def keyframes(model: Path, output: Path, *arguments: object) -> bytes:
    result = generate(model, output, "--stop-after", "keyframes", *arguments)
    assert result.exit_code == 0, result.output
    return (output.with_suffix(".run") / "keyframes.safetensors").read_bytes()


def test_an_adapter_changes_the_video_by_its_weight(saved_pipeline: Path, adapter: Path, tmp_path: Path) -> None:
    plain = keyframes(saved_pipeline, tmp_path / "plain.mp4")
    whole, half, none = (keyframes(saved_pipeline, tmp_path / f"{w}.mp4", "--adapter", f"{adapter}:{w}") for w in (1, 0.5, 0))
    assert len({plain, whole, half}) == 3 and none == plain
    assert keyframes(saved_pipeline, tmp_path / "again.mp4", "--adapter", adapter) == whole
    assert read_metadata(tmp_path / "0.5.mp4")["adapters"] == {str(adapter): 0.5}


def test_a_run_goes_on_with_its_adapters(saved_pipeline: Path, adapter: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken.mp4", tmp_path / "whole.mp4"
    first = keyframes(saved_pipeline, broken, "--adapter", adapter)
    assert run("resume", broken, "--stop-after", "interpolation", "--device", "cpu").exit_code == 0
    opened = Run.open(broken.with_suffix(".run"))
    assert (opened.folder / "keyframes.safetensors").read_bytes() == first and opened.request.adapters == {str(adapter): 1.0}
    assert generate(saved_pipeline, whole, "--adapter", adapter, "--stop-after", "interpolation").exit_code == 0
    assert broken.read_bytes() == whole.read_bytes()


def test_what_cannot_be_used_is_said(saved_pipeline: Path, tmp_path: Path) -> None:
    refused(generate(saved_pipeline, tmp_path / "v.mp4", "--adapter", tmp_path), rf"no adapter in '{tmp_path}'")
    refused(run("customize", "motion", tmp_path / "no.mp4", *ASKED, "-o", tmp_path / "a", "--model", saved_pipeline), r"no\.mp4.*missing")
    assert not list(tmp_path.iterdir())


def test_places_of_adapters_are_read(tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert named_adapters([f"{tmp_path}:0.5", str(odd), "user/style:-1"]) == {str(tmp_path): 0.5, str(odd): 1.0, "user/style": -1.0}
    assert named_adapters(None) == {}
    with pytest.raises(SettingsError, match="must be a number"):
        named_adapters(["zigzag:nan"])
