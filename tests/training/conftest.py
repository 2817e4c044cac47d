"""Tiny runs of all stages, on a world of drawn shapes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from show1.training.config import DataConfig, TrainConfig
from show1.training.loop import Trainer
from show1.worlds.sprite_files import save_sprites
from show1.worlds.stand_ins import draw_stand_in

OBJECTS = ("turtle", "rocket", "car")
V_SOLVER = {"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
T5 = {"vocab_size": 1024, "d_model": tiny.TEXT_WIDTH, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 1}
CLIP = {
    "vocab_size": 1024,
    "hidden_size": tiny.TEXT_WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": tiny.TEXT_WIDTH,
}
FROM_KEYFRAMES = {"text_encoder": "keyframes/final/text_encoder", "tokenizer": "keyframes/final/tokenizer"}
FROM_IMAGES = {f: f"keyframes-image/final/{n}" for f, n in (("text_encoder", "text_encoder"), ("tokenizer", "tokenizer"))}
START = {
    "keyframes": {
        "network": "keyframes-image/final/keyframes_unet",
        "scheduler": "keyframes-image/final/keyframes_scheduler",
        **FROM_IMAGES,
    },
    "pixel": {
        "network": "first-frame/final/first_frame_unet",
        "scheduler": "first-frame/final/first_frame_scheduler",
        **FROM_KEYFRAMES,
    },
    "latent": {
        "vae": "vae/final/vae",
        "network": "latent-text/final/latent_unet",
        "scheduler": "latent-text/final/latent_scheduler",
        "text_encoder": "latent-text/final/latent_text_encoder",
        "tokenizer": "latent-text/final/latent_tokenizer",
    },
}
RUNS: dict[str, dict[str, Any]] = {
    "keyframes-image": {
        "network": tiny.pixel_config(dimensions=2),
        "scheduler": V_SOLVER,
        "text_encoder": T5,
        "train_text": True,
    },
    "keyframes": {"start": START["keyframes"], "train_text": True},
    "interpolation": {"network": tiny.pixel_config(7), "scheduler": V_SOLVER, "start": FROM_KEYFRAMES},
    "first-frame": {
        "network": tiny.pixel_config(6, dimensions=2, upscaler=True),
        "scheduler": V_SOLVER,
        "start": FROM_KEYFRAMES,
        "crop": (16, 24),
    },
    "pixel": {"start": START["pixel"], "crop": (16, 24)},
    "vae": {"network": tiny.VAE_CONFIG, "crop": (16, 16)},
    "latent-text": {
        "stage": "latent",
        "network": tiny.LATENT_CONFIG,
        "scheduler": V_SOLVER,
        "text_encoder": CLIP,
        "train_text": True,
        "start": {"vae": "vae/final/vae"},
        "crop": (16, 16),
    },
    "latent": {"start": START["latent"], "crop": (16, 16), "max_timestep": 900},
}
"""Runs in the order in which they build on each other."""

MakeConfig = Callable[..., TrainConfig]


def make_config(run: str, **changes: Any) -> TrainConfig:
    """A run's configuration with some of its keys changed."""
    values: dict[str, Any] = {
        "stage": run,
        "steps": 2,
        "batch_size": 2,
        "frames": 2,
        "warmup_steps": 1,
        "log_every": 1,
        "text_tokens": 12,
        "seed": 5,
        "data": DataConfig(objects=OBJECTS, max_count=1),
    }
    return TrainConfig(**{**values, **RUNS.get(run, {}), **changes})


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sprites")
    save_sprites(folder, {name: draw_stand_in(name, 0) for name in OBJECTS}, "drawn shapes")
    return folder


@pytest.fixture(scope="session")
def runs(sprites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages trained for two steps, each from those before it."""
    base = tmp_path_factory.mktemp("runs")
    for run in RUNS:
        Trainer(make_config(run), base / run, base=base, sprites=sprites).run()
    return base


@pytest.fixture(scope="session")
def config() -> MakeConfig:
    return make_config
