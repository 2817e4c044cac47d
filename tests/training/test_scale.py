"""One batch, however it is gone through: in several processes, sharded, in parts, with activations computed again, compiled."""

import csv
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from torch import nn

import tiny
from show1 import PixelUNet
from show1.errors import SettingsError
from show1.models.loading import load_network
from show1.models.reading import read_weights
from show1.training.config import TrainConfig
from show1.training.loop import Trainer
from show1.training.memory import checkpoint_gradients

Config = Callable[..., TrainConfig]
TOLERANCE = 1e-4
"""Of a loss, relative: float32 sums of another order, over a few steps."""
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


@pytest.fixture(scope="module")
def processes(runs: Path, sprites: Path) -> worker.Runs:
    return worker.Runs(runs, sprites)


VALUES: dict[str, Any] = {
    "steps": 2,
    "batch_size": 4,
    "temporal_dropout": 0.0,  # its masks depend on what is together in a part
    "validate_every": 2,
    "validation_clips": 4,
    "validation_bands": 2,
}


@pytest.fixture(scope="module")
def single(runs: Path, sprites: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The batches in one process and one part."""
    folder = tmp_path_factory.mktemp("single") / "run"
    Trainer(config("pixel", **VALUES), folder, base=runs, sprites=sprites).run()
    return folder


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def numbers(path: Path) -> list[float]:
    return [float(value) for line in path.read_text().splitlines()[1:] for value in line.split(",")[1:]]


def assert_same_run(folder: Path, single: Path) -> None:
    """The same curve, validation losses and averaged weights, within the tolerance."""
    for name in ("losses.csv", "validation.csv"):
        have, want = numbers(folder / name), numbers(single / name)
        assert have[-len(want) :] == pytest.approx(want, rel=TOLERANCE)  # a run in two goes was measured at the end of the first as well
    path = "checkpoints/step-2/averages.safetensors"
    have_weights, want_weights = read_weights(folder / path), read_weights(single / path)
    assert have_weights.keys() == want_weights.keys()
    assert all(torch.allclose(have_weights[name], want_weights[name], atol=1e-3) for name in want_weights)


def test_two_processes_of_two_parts_make_the_curve_of_one(processes: worker.Runs, config: Config, single: Path, tmp_path: Path) -> None:
    wanted = config("pixel", **VALUES, accumulate=2)
    assert processes.together(wanted, tmp_path / "run", free_port()) == [0, 0]
    assert_same_run(tmp_path / "run", single)
    assert (tmp_path / "run" / "final" / "pixel_upscale_unet" / "config.json").is_file()


def test_sharded_processes_make_the_curve_of_one_and_one_goes_on(
    runs: Path, sprites: Path, processes: worker.Runs, config: Config, single: Path, tmp_path: Path
) -> None:
    begun, whole = config("pixel", **{**VALUES, "steps": 1}), config("pixel", **VALUES)
    assert processes.together(begun, tmp_path / "run", free_port(), FSDP) == [0, 0]
    network = load_network(PixelUNet, tmp_path / "run" / "final" / "pixel_upscale_unet")
    assert json.loads((tmp_path / "run/final/pixel_upscale_unet/config.json").read_text())["_class_name"] == "PixelUNet"
    size = sum(p.numel() for p in network.parameters())
    parts = [json.loads((tmp_path / f"held{rank}.json").read_text()) for rank in (0, 1)]
    assert sum(part["averages"] for part in parts) == size and sum(part["optimizer"] for part in parts) == 2 * size
    assert all(part["averages"] < 0.6 * size for part in parts), "each holds about half"
    Trainer(whole, tmp_path / "run", base=runs, sprites=sprites).run()
    assert_same_run(tmp_path / "run", single)


def test_sharded_processes_draw_samples(processes: worker.Runs, config: Config, tmp_path: Path) -> None:
    assert processes.together(config("keyframes", steps=1, sample_every=1, train_text=False), tmp_path / "run", free_port(), FSDP) == [0, 0]
    assert sorted(p.name for p in (tmp_path / "run" / "samples").iterdir()) == ["step-1.mp4", "step-1.png"]


def test_a_trained_text_encoder_is_spread_too(runs: Path, sprites: Path, processes: worker.Runs, config: Config, tmp_path: Path) -> None:
    encoder = {**config("keyframes-image").text_encoder, "dropout_rate": 0.0}
    wanted = config("keyframes-image", text_encoder=encoder, batch_size=4)
    Trainer(wanted, tmp_path / "one", base=runs, sprites=sprites).run()
    assert processes.together(wanted, tmp_path / "two", free_port()) == [0, 0]
    assert numbers(tmp_path / "two" / "losses.csv") == pytest.approx(numbers(tmp_path / "one" / "losses.csv"), rel=TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [{"accumulate": 2}, {"gradient_checkpointing": True}, {"compile": "eager"}],
    ids=["accumulated", "recomputed", "compiled"],
)
def test_other_ways_through_a_batch_make_the_same_curve(
    runs: Path, sprites: Path, config: Config, single: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    Trainer(config("pixel", **VALUES, **changes), tmp_path / "run", base=runs, sprites=sprites).run()
    assert_same_run(tmp_path / "run", single)


def test_a_batch_that_does_not_split_evenly_is_an_error(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make batch_size a multiple of 3"):
        Trainer(config("pixel", accumulate=3), tmp_path / "run", base=runs, sprites=sprites)


def test_processes_that_do_not_know_of_each_other_are_an_error(
    runs: Path, sprites: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"2 processes were started.*ACCELERATE_USE_CPU"):
        Trainer(config("pixel"), tmp_path / "run", base=runs, sprites=sprites)


def test_eight_bit_optimizers_ask_for_their_package(
    runs: Path, sprites: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SettingsError, match=r"adamw-8bit.*bitsandbytes.*8bit"):
        Trainer(config("pixel", optimizer="adamw-8bit"), tmp_path / "run", base=runs, sprites=sprites)


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on a GPU")
def test_runs_of_different_precision_follow_in_one_process(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    for precision in ("bf16", "fp16", "no"):
        trainer = Trainer(config("pixel", precision=precision), tmp_path / precision, base=runs, sprites=sprites)
        assert trainer.accelerator.mixed_precision == precision
        trainer.run()
    curves = [[float(row["loss"]) for row in csv.DictReader((tmp_path / p / "losses.csv").open())] for p in ("bf16", "fp16", "no")]
    assert all(torch.isfinite(torch.tensor(curve)).all() for curve in curves)
    assert curves[0] == pytest.approx(curves[2], rel=0.05) and curves[1] == pytest.approx(curves[2], rel=0.05)


NETWORKS: dict[str, tuple[Any, dict[str, Any], Callable[[Any], torch.Tensor]]] = {
    "pixel": (PixelUNet, tiny.pixel_config(), lambda n: n(torch.ones(1, 3, 2, 8, 8), TIME, TEXT).sample),
    "image": (UNet2DConditionModel, tiny.pixel_config(dimensions=2), lambda n: n(torch.ones(1, 3, 8, 8), TIME, TEXT).sample),
    "latent": (UNet3DConditionModel, tiny.LATENT_CONFIG, lambda n: n(torch.ones(1, 4, 2, 8, 8), TIME, TEXT).sample),
    "vae": (AutoencoderKL, tiny.VAE_CONFIG, lambda n: n(torch.ones(1, 3, 16, 16)).sample),
}
TIME, TEXT = torch.tensor([5]), torch.ones(1, 5, tiny.TEXT_WIDTH)
INNER = ("norm1", "conv_shortcut", "to_q", "proj_in", "group_norm")
"""Layers that every block has one or another of."""


def gradients(name: str, recompute: bool) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """Gradients by parameter, and how often each block's layers were called."""
    cls, config, call = NETWORKS[name]
    network = tiny.named(cls.from_config(config))
    if recompute:
        checkpoint_gradients(name, network)
    calls: dict[str, int] = {}
    for place, layer in network.named_modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if "block" in place and place.rsplit(".", 1)[-1] in INNER:
            layer.register_forward_pre_hook(lambda *_, place=place: calls.update({place: calls.get(place, 0) + 1}))
    call(network.train()).square().mean().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}, calls


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_checkpointing_works_on_every_block(name: str) -> None:
    plain, once = gradients(name, False)
    recomputed, twice = gradients(name, True)
    assert plain.keys() == recomputed.keys() and all(torch.allclose(plain[key], recomputed[key], atol=1e-6) for key in plain)
    assert len(once) > 10 and twice == {place: 2 * count for place, count in once.items()}
