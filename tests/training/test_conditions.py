"""Networks are trained on the very condition that sampling gives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from show1.cascade.interpolation import blend_condition
from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.clips import EmojiClips, EmojiSource, Wanted, frame_times
from show1.training.config import TrainConfig
from show1.training.registry import TASKS
from show1.training.sources import open_clips
from show1.worlds.scenes import is_held_out

Config = Callable[..., TrainConfig]
CPU = torch.device("cpu")


@pytest.fixture
def inputs(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]:
    """A stage's clean example, what its network is called with for noise of zeros, and the call's keywords."""

    def make(stage: str, **changes: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        settings = config(stage, **changes)
        task: Any = TASKS[stage](settings, open_clips(settings, sprites, CPU, tmp_path), runs, CPU, tmp_path)
        seen: list[tuple[Tensor, dict[str, Any]]] = []
        task.network.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args[0], kwargs)), with_kwargs=True)
        clips = task.clips(chance := Chance([1, 2]))
        with torch.no_grad():
            clean, calls = task.example(clips, chance)
            calls(task.sampler())(torch.zeros_like(clean), torch.tensor([5, 5]), task.embed(clips, chance, 0.1))
        return clean, *seen[0]

    return make


def test_interpolation_sees_the_blended_ends_of_the_clip(inputs: Callable[..., Any]) -> None:
    clean, seen, _ = inputs("interpolation")
    assert clean.shape == (2, 3, 5, 40, 64)
    assert torch.allclose(seen[:, 3:], blend_condition(clean[:, :, 0], clean[:, :, 4], 5))


@pytest.mark.parametrize("stage", ["keyframes-image", "keyframes"])
def test_keyframes_are_told_their_moments_if_their_network_reads_them(inputs: Callable[..., Any], stage: str) -> None:
    names = {"network": "keyframes_unet", "scheduler": "keyframes_scheduler", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}
    start = {part: f"{stage}/final/{folder}" for part, folder in names.items()}
    _, _, options = inputs(stage, start=start, network={"class_embed_type": "timestep"})
    labels = options["class_labels"]
    if stage == "keyframes":
        assert labels.tolist() == [[0, 999]] * 2
    else:
        assert labels.shape == (2,) and bool((labels > 0).all() and (labels < 999).all() and labels[0] != labels[1])


def test_interpolation_ends_are_noised_when_asked(inputs: Callable[..., Any]) -> None:
    clean, seen, _ = inputs("interpolation", condition_noise=0.1)
    assert 0.09 < float((seen[:, 3:6, 0] - clean[:, :, 0]).std()) < 0.11


def small(video: Tensor) -> Tensor:
    """Every frame at a quarter of its size."""
    return torch.nn.functional.avg_pool3d(video, (1, 4, 4))


@pytest.mark.parametrize("stage", ["first-frame", "pixel"])
def test_upscalers_see_the_enlarged_low_resolution(inputs: Callable[..., Any], stage: str) -> None:
    clean, seen, options = inputs(stage, max_noise_level=0, crop=(32, 48))
    assert clean.shape[-2:] == (32, 48) and options["class_labels"].tolist() == [0, 0]
    condition = seen[:, 3:].reshape(clean.shape)
    assert (small(condition) - small(clean)).abs().mean() < 0.05


def test_a_window_is_led_by_its_finished_frame(inputs: Callable[..., Any]) -> None:
    clean, seen, options = inputs("pixel", max_noise_level=300)
    assert torch.equal(seen[:, 3:, 0], clean[:, :, 0])
    assert not torch.allclose(seen[:, 3:, 1], clean[:, :, 1], atol=0.01)
    assert options["class_labels"].max() <= 300


def test_latents_are_scaled_as_sampling_scales_them(inputs: Callable[..., Any]) -> None:
    clean, seen, _ = inputs("latent")
    assert clean.shape == (2, 4, 2, 8, 8) and seen.shape == clean.shape
    assert 0.2 < float(clean.std()) < 5.0


def test_captions_are_dropped_as_often_as_asked(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    settings = config("interpolation", caption_dropout=1.0)
    task: Any = TASKS["interpolation"](settings, open_clips(settings, sprites, CPU, tmp_path), runs, CPU, tmp_path)
    with torch.no_grad():
        made = task.embed(task.sheet_clips(2), Chance([0, 1]), settings.caption_dropout)
        assert torch.equal(made, task.text.embed(["", ""]))


def test_nothing_is_trained_on_held_out_combinations(sprites: Path, config: Config) -> None:
    source = EmojiSource.open(config("vae").data, sprites, CPU)
    clips: EmojiClips = source.clips(list(range(500)), frame_times(0, 1), Wanted())
    assert not any(is_held_out(scene) for scene in clips.scenes)


@pytest.mark.parametrize("stage", ["keyframes-image", "keyframes"])
def test_objects_weigh_more_when_asked(runs: Path, sprites: Path, config: Config, tmp_path: Path, stage: str) -> None:
    settings = config(stage, object_weight=5.0)
    task: Any = TASKS[stage](settings, open_clips(settings, sprites, CPU, tmp_path), runs, CPU, tmp_path)
    clips = task.clips(chance := Chance([1, 2]))
    clean, _ = task.example(clips, chance)
    weights = task.pixel_weights(clips, clean)
    assert weights.shape == (2, 1, *clean.shape[2:]) and set(weights.unique().tolist()) == {1.0, 5.0}


def test_a_network_for_other_inputs_is_refused(inputs: Callable[..., Any], config: Config) -> None:
    network = {**config("keyframes-image").network, "in_channels": 4}
    with pytest.raises(SettingsError, match=r"in_channels is 4, but the stage 'keyframes-image' gives its network 3"):
        inputs("keyframes-image", network=network)
