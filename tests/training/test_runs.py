"""Every stage trains and writes what the loaders accept; all together make a pipeline."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from show1 import PixelUNet, Show1Pipeline
from show1.errors import CheckpointError, SettingsError
from show1.models.autoencoders import load_vae
from show1.models.loading import load_network, load_scheduler, load_tokenizer, load_transformer
from show1.training.assemble import assemble_pipeline, component_folder
from show1.training.components import resolve_start

NETWORKS = {
    "keyframes-image": ("keyframes_unet", UNet2DConditionModel),
    "keyframes": ("keyframes_unet", PixelUNet),
    "interpolation": ("interpolation_unet", PixelUNet),
    "first-frame": ("first_frame_unet", UNet2DConditionModel),
    "pixel": ("pixel_upscale_unet", PixelUNet),
    "vae": ("vae", AutoencoderKL),
    "latent-text": ("latent_unet", UNet3DConditionModel),
    "latent": ("latent_unet", UNet3DConditionModel),
}
SETTINGS = """
num_keyframes = 2
between = 1
keyframe_size = [16, 8]
pixel_scale = 2
final_size = [48, 32]
max_text_tokens = 12
[keyframes]
steps = 2
guidance = 2.0
[interpolation]
steps = 2
guidance = 1.0
[first_frame]
steps = 2
guidance = 1.0
noise_level = 100
[pixel]
steps = 2
guidance = 1.0
noise_level = 100
[latent]
steps = 2
guidance = 1.0
strength = 0.5
"""


@pytest.mark.parametrize("run", NETWORKS)
def test_a_run_writes_weights_in_16_bits_that_load(runs: Path, run: str) -> None:
    name, cls = NETWORKS[run]
    network: Any = load_network(cls, runs / run / "final" / name, dtype=torch.float16)
    assert all(torch.isfinite(p).all() for p in network.parameters())
    stored = (runs / run / "final" / name / "diffusion_pytorch_model.safetensors").stat().st_size
    assert stored < 2 * sum(p.numel() for p in network.parameters()) + 200_000


@pytest.mark.parametrize("run", NETWORKS)
def test_a_run_keeps_its_losses_config_and_checkpoint(runs: Path, run: str) -> None:
    with (runs / run / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert all(math.isfinite(float(row["loss"])) for row in rows)
    record = json.loads((runs / run / "final" / "training.json").read_text())
    assert record["steps_done"] == 2 and record["config"]["seed"] == 5
    assert [p.name for p in (runs / run / "checkpoints").iterdir()] == ["step-2"]


def test_components_start_from_a_folder_of_the_runs_or_from_the_bundled_model(tmp_path: Path) -> None:
    assert resolve_start("vae/final/vae", tmp_path) == tmp_path / "vae" / "final" / "vae"
    assert load_vae(resolve_start("bundled:vae", tmp_path)).config.in_channels == 3


def test_a_text_encoder_that_a_run_did_not_train_is_found_where_it_started(runs: Path) -> None:
    assert component_folder(runs, "keyframes", "text_encoder") == runs / "keyframes/final/text_encoder"
    assert component_folder(runs, "latent", "latent_tokenizer") == runs / "latent-text/final/latent_tokenizer"


def test_training_changes_the_weights(runs: Path) -> None:
    image = load_network(UNet2DConditionModel, runs / "keyframes-image/final/keyframes_unet").state_dict()
    video = load_network(PixelUNet, runs / "keyframes/final/keyframes_unet").state_dict()
    assert any(not torch.equal(image[name], video[name]) for name in image)
    assert any("temp_" in name for name in video)


def test_text_encoders_and_tokenizers_load(runs: Path) -> None:
    final = runs / "keyframes" / "final"
    load_transformer(T5EncoderModel, final / "text_encoder")
    assert (final / "tokenizer" / "spiece.model").is_file(), "the published stack reads no other file"
    tokenizer = load_tokenizer(T5Tokenizer, final / "tokenizer")
    assert tokenizer.decode(tokenizer("a turtle moves left").input_ids, skip_special_tokens=True) == "a turtle moves left"
    load_transformer(CLIPTextModel, runs / "latent-text" / "final" / "latent_text_encoder")
    load_tokenizer(CLIPTokenizer, runs / "latent-text" / "final" / "latent_tokenizer")


def test_upscalers_write_both_schedulers(runs: Path) -> None:
    for run, name in (("first-frame", "first_frame"), ("pixel", "pixel_upscale")):
        assert load_scheduler(runs / run / "final" / f"{name}_scheduler").config.prediction_type == "v_prediction"
        load_scheduler(runs / run / "final" / f"{name}_noising_scheduler")


@torch.no_grad()
def test_vae_knows_the_scale_of_its_latents(runs: Path) -> None:
    vae = load_network(AutoencoderKL, runs / "vae" / "final" / "vae")
    assert vae.config.scaling_factor not in (0.18215, 1.0) and 0 < vae.config.scaling_factor < math.inf


@pytest.fixture(scope="module")
def assembled(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assembled")
    (folder / "settings.toml").write_text(SETTINGS)
    return assemble_pipeline(runs, folder / "settings.toml", folder / "pipeline")


def test_finished_runs_make_a_pipeline_that_generates(assembled: Path) -> None:
    pipe = Show1Pipeline.from_pretrained(assembled)
    pipe.set_progress_bar_config(disable=True)
    out = pipe("a turtle moves left across the desert", seed=1, output_type="pt")
    assert out.frames.shape == (1, 3, 3, 32, 48) and torch.isfinite(out.frames).all()
    assert (assembled / "tokenizer" / "spiece.model").is_file()


def test_an_assembled_pipeline_knows_its_words(assembled: Path) -> None:
    pipe = Show1Pipeline.from_pretrained(assembled)
    assert pipe.vocabulary["objects"] == ["turtle", "rocket", "car"] and pipe.vocabulary["counts"] == ["1"]
    assert pipe.unknown_words("a turtle and a zebra") == ["zebra"]


def test_a_missing_run_is_an_error_that_names_it(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    for run in NETWORKS:
        if run != "interpolation":
            (tmp_path / run).symlink_to(runs / run)
    with pytest.raises(CheckpointError, match="interpolation"):
        assemble_pipeline(tmp_path, tmp_path / "settings.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["colour = 3", "[keyframes]\nstepps = 3", "num_keyframes = ", "num_keyframes = 0"])
def test_settings_that_cannot_be_used_are_an_error(runs: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(SettingsError):
        assemble_pipeline(runs, tmp_path / "settings.toml", tmp_path / "out")
