"""A pipeline's own folder: saved, loaded again, and refused where it does not fit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from show1 import Show1Pipeline
from show1.errors import CheckpointError, SettingsError

PROMPT = "a rocket flies over the ocean"


@pytest.fixture
def copy(saved_pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_pipeline, tmp_path / "copy"))


def test_a_saved_pipeline_makes_the_same_video(pipeline: Show1Pipeline, saved_pipeline: Path, tmp_path: Path) -> None:
    once = Show1Pipeline.from_pretrained(saved_pipeline)
    once.save_pretrained(tmp_path / "again")
    again = Show1Pipeline.from_pretrained(tmp_path / "again")
    made = []
    for pipe in (pipeline, once, again):
        pipe.set_progress_bar_config(disable=True)
        made.append(pipe(PROMPT, seed=2, output_type="pt"))
    for name, video in made[1].stages().items():
        assert torch.equal(video, made[2].stages()[name]), name
        assert (video - made[0].stages()[name]).abs().max() < 1e-4, name


def test_settings_and_vocabulary_are_kept(pipeline: Show1Pipeline, saved_pipeline: Path) -> None:
    again = Show1Pipeline.from_pretrained(saved_pipeline)
    assert again.settings == pipeline.settings
    assert again.vocabulary == pipeline.vocabulary
    assert again.config["_name_or_path"] == str(saved_pipeline)


def test_saving_twice_gives_the_same_weights(saved_pipeline: Path, tmp_path: Path) -> None:
    Show1Pipeline.from_pretrained(saved_pipeline).save_pretrained(tmp_path / "again")
    for path in saved_pipeline.rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(saved_pipeline)).read_bytes()


def test_the_folder_names_show1_and_not_a_file_in_it(saved_pipeline: Path) -> None:
    index = json.loads((saved_pipeline / "model_index.json").read_text())
    assert index["_class_name"] == "Show1Pipeline"
    named = {value[0] for value in index.values() if isinstance(value, list) and len(value) == 2}
    assert named == {"show1", "diffusers", "transformers"}


def test_a_fresh_process_loads_it(saved_pipeline: Path) -> None:
    code = f"from show1 import Show1Pipeline; p = Show1Pipeline.from_pretrained({str(saved_pipeline)!r}); print(p.settings.window)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "4", done.stderr


def test_components_can_be_passed_in(pipeline: Show1Pipeline, saved_pipeline: Path) -> None:
    again = Show1Pipeline.from_pretrained(saved_pipeline, vae=pipeline.vae, text_encoder=None)
    assert again.vae is pipeline.vae and again.text_encoder is None


def test_a_missing_weight_is_named(copy: Path) -> None:
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["post_quant_conv.bias"]
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=r"vae.*post_quant_conv.bias"):
        Show1Pipeline.from_pretrained(copy)


def test_a_missing_component_is_an_error(copy: Path) -> None:
    shutil.rmtree(copy / "latent_unet")
    with pytest.raises(CheckpointError, match="latent_unet"):
        Show1Pipeline.from_pretrained(copy)


def test_classes_outside_the_known_libraries_are_not_taken(copy: Path) -> None:
    path = copy / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "vae": ["subprocess", "Popen"]}))
    with pytest.raises(CheckpointError, match="Popen"):
        Show1Pipeline.from_pretrained(copy)


def test_another_kind_of_pipeline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "OtherPipeline"}')
    with pytest.raises(CheckpointError, match="Show-1"):
        Show1Pipeline.from_pretrained(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_index.json"):
        Show1Pipeline.from_pretrained(tmp_path)


def test_unknown_saved_settings_are_refused(copy: Path) -> None:
    path = copy / "model_index.json"
    index = json.loads(path.read_text())
    index["settings"]["colour"] = 1
    path.write_text(json.dumps(index))
    with pytest.raises(SettingsError, match="colour"):
        Show1Pipeline.from_pretrained(copy)


def test_a_name_that_is_neither_folder_nor_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        Show1Pipeline.from_pretrained(tmp_path / "nowhere", local_files_only=True)
