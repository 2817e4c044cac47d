"""The small kind of VAE, without norms: trained, trained on, assembled and run like Stable Diffusion's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from test_runs import SETTINGS

from show1 import Show1Pipeline
from show1.cascade.loading import load_outlines
from show1.errors import CheckpointError, SettingsError
from show1.memory.plan import Planner
from show1.models.autoencoders import TINY_LOG_VARIANCE, latent_distribution, load_vae
from show1.training.assemble import assemble_pipeline
from show1.training.autoencoding import start_averaging
from show1.training.loop import Trainer

CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderTiny",
    "latent_channels": 6,
    "encoder_block_out_channels": [8, 8],
    "decoder_block_out_channels": [8, 8],
    "num_encoder_blocks": [0, 1],
    "num_decoder_blocks": [1, 0],
}


@pytest.fixture(scope="module")
def made(runs: Path, sprites: Path, config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs, with this VAE and a latent stage trained on it."""
    base = tmp_path_factory.mktemp("small")
    for run in runs.iterdir():
        if run.name not in ("vae", "latent"):
            (base / run.name).symlink_to(run)
    latent = config("latent-text")
    Trainer(config("vae", network=CONFIG), base / "vae", base=base, sprites=sprites).run()
    network = {**latent.network, "in_channels": 6, "out_channels": 6}
    Trainer(config("latent-text", network=network), base / "latent", base=base, sprites=sprites).run()
    return base


def test_it_is_saved_as_what_it_is_with_the_scale_of_its_latents(made: Path) -> None:
    vae = load_vae(made / "vae" / "final" / "vae")
    assert isinstance(vae, AutoencoderTiny)
    pictures = torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = latent_distribution(vae, pictures)
    assert latents.mode().shape == (4, 6, 8, 12)
    assert torch.equal(latents.logvar, torch.full_like(latents.mode(), TINY_LOG_VARIANCE))
    assert vae.config.scaling_factor not in (0.18215, 1.0)


def test_a_new_one_keeps_even_colours_apart(made: Path) -> None:
    vae: Any = AutoencoderTiny(**{key: value for key, value in CONFIG.items() if not key.startswith("_")})
    start_averaging(vae)
    shades = torch.linspace(-1, 1, 5)[:, None, None, None].expand(-1, 3, 32, 32)
    with torch.no_grad():
        inner = latent_distribution(vae, shades).mode()[:, :, 8, 8]
    assert (inner[1:] - inner[:-1]).norm(dim=1).min() > 0.01


def test_a_pipeline_is_made_of_it_saved_and_planned(made: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    pipe = Show1Pipeline.from_pretrained(assemble_pipeline(made, tmp_path / "settings.toml", tmp_path / "pipeline"))
    pipe.set_progress_bar_config(disable=True)
    out = pipe("a turtle moves left", seed=1, output_type="pt").frames
    assert out.shape == (1, 3, 3, 32, 48) and out.isfinite().all()
    pipe.save_pretrained(tmp_path / "again")
    again = Show1Pipeline.from_pretrained(tmp_path / "again")
    again.set_progress_bar_config(disable=True)
    assert torch.equal(again("a turtle moves left", seed=1, output_type="pt").frames, out)
    model, device, _ = load_outlines(str(tmp_path / "again"), "cpu")
    plans = list(Planner(model, None, device, torch.float32).plans())
    assert plans and not any(plan.thrift.tiling for plan in plans), "tiles save nothing where a VAE does not work in them"


def test_another_kind_is_refused_by_name(made: Path, sprites: Path, config: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"VQModel.*AutoencoderKL, AutoencoderTiny"):
        Trainer(config("vae", network={"_class_name": "VQModel"}), tmp_path / "run", base=tmp_path, sprites=sprites)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(CheckpointError, match="VQModel"):
        load_vae(tmp_path)


def test_a_config_without_a_name_is_stable_diffusions(runs: Path) -> None:
    assert isinstance(load_vae(runs / "vae" / "final" / "vae"), AutoencoderKL)
