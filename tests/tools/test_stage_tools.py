"""The stages at work on clips: any length in windows, no seams, times and sound as they were."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor, nn

import clips
import tiny
from show1 import SamplerSettings, Show1Pipeline
from show1.cascade.latent_stream import Translation, translation_windows
from show1.cascade.latent_upscale import latent_moments
from show1.cascade.stage import Sampler, Text
from show1.errors import DataError, SettingsError, Show1Error
from show1.tools.interpolate import interpolate_clip
from show1.tools.sizes import fitted
from show1.tools.upscale import upscale_clip

WINDOWS = replace(tiny.SETTINGS, latent_window=6, latent_overlap=2)
TEXT = Text(torch.zeros(1, 4, 16), torch.zeros(1, 4, 16))


class PerFrame(nn.Module):
    """A latent network that looks at every frame alone: no window can matter to it."""

    class Output:
        def __init__(self, sample: Tensor) -> None:
            self.sample = sample

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3))
        self.seen: list[int] = []

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor) -> Any:
        self.seen.append(noisy.shape[2])
        return self.Output(torch.tanh(noisy * self.weight))


class Drifting(PerFrame):
    """One that pulls every other window elsewhere."""

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor) -> Any:
        output = super().forward(noisy, timestep, text)
        output.sample = output.sample + 0.5 * ((len(self.seen) - 1) // 2 % 2)  # two steps a window
        return output


def frames_of(count: int) -> Tensor:
    return torch.rand(count, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def translated(pipeline: Show1Pipeline, network: nn.Module, count: int, length: int, overlap: int, scheduler: Any = None) -> Tensor:
    sampler = Sampler(network, scheduler or tiny.solver(), SamplerSettings(steps=4, guidance=1.0, strength=0.6))
    translate = Translation(sampler, pipeline.vae, TEXT, 7, length, overlap)
    with torch.no_grad():
        latents = list(translate._windows(iter(frames_of(count))))
        return torch.cat(latents, dim=2)[0]


@pytest.mark.parametrize("count", [1, 5, 6, 7, 9, 10, 11, 14, 23])
def test_windows_do_not_matter_to_a_network_that_sees_frames_alone(pipeline: Show1Pipeline, count: int) -> None:
    network = PerFrame()
    made = translated(pipeline, network, count, 6, 2)
    assert made.shape[1] == count
    assert network.seen[::2] == translation_windows(count, 6, 2)  # two steps a window
    assert torch.allclose(made, translated(pipeline, PerFrame(), count, count + 1, 1), atol=1e-5)


def test_a_frame_keeps_its_noise_with_schedulers_that_draw_it_too(pipeline: Show1Pipeline) -> None:
    options = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "algorithm_type": "sde-dpmsolver++"}
    made = [translated(pipeline, PerFrame(), 14, length, 2, DPMSolverMultistepScheduler(**options)) for length in (6, 20)]
    assert torch.allclose(*made, atol=1e-5)


def test_where_windows_disagree_there_is_no_seam(pipeline: Show1Pipeline) -> None:
    plain, drifted = translated(pipeline, PerFrame(), 20, 8, 4), translated(pipeline, Drifting(), 20, 8, 4)
    drift = (drifted - plain).mean(dim=(0, 2, 3))
    steps, span = drift.diff().abs(), drift.max() - drift.min()
    assert span > 0.05  # the windows do disagree
    assert steps.max() < 0.45 * span  # and the way from one to the next is spread over the shared frames


@pytest.mark.parametrize(("frames", "times"), [(5, None), (13, None), (4, [Fraction(0), Fraction(1, 8), Fraction(1), Fraction(5, 4)])])
def test_a_clip_is_upscaled_with_its_times_and_sound(
    pipeline: Show1Pipeline, tmp_path: Path, frames: int, times: list[Fraction] | None
) -> None:
    source = clips.write(tmp_path / "v.mp4", frames, audio="aac", times=times)
    done: list[int] = []
    made = upscale_clip(pipeline, source, tmp_path / "w.mp4", settings=WINDOWS, on_frame=lambda: done.append(1))
    (before, _), (after, pictures) = clips.read(source), clips.read(made)
    assert pictures.shape == (frames, 32, 48, 3) and len(done) == frames
    assert after == pytest.approx(before, abs=1e-3)
    assert clips.sound(made)[1] == clips.sound(source)[1]


def test_upscaling_follows_seed_prompt_and_size(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    source = clips.write(tmp_path / "v.mkv", 3, size=(15, 9), codec="ffv1", pixels="bgr0")
    made = {}
    for name, options in {
        "a": {"seed": 1},
        "b": {"seed": 1},
        "c": {"seed": 2},
        "d": {"seed": 1, "prompt": "two turtles"},
        "e": {"seed": 1, "size": (21, 30)},
    }.items():
        made[name] = upscale_clip(pipeline, source, tmp_path / f"{name}.mp4", scale=2.0, settings=WINDOWS, **options)
    assert made["a"].read_bytes() == made["b"].read_bytes()
    first = {name: clips.read(path)[1] for name, path in made.items()}
    assert first["a"].shape == (3, 18, 30, 3) and first["e"].shape == (3, 30, 20, 3)
    assert abs(first["a"].astype(int) - first["c"]).mean() > 0.1 and abs(first["a"].astype(int) - first["d"]).max() > 0


@pytest.mark.parametrize("frames", [2, 3, 4, 8])
def test_frames_are_put_between_and_the_clip_lasts_as_long(pipeline: Show1Pipeline, tmp_path: Path, frames: int) -> None:
    source = clips.write(tmp_path / "v.mp4", frames, audio="aac", times=[Fraction(k * k, 8) for k in range(frames)])
    made = interpolate_clip(pipeline, source, tmp_path / "w.mp4", settings=replace(tiny.SETTINGS, between=3))
    (before, _), (after, pictures) = clips.read(source), clips.read(made)
    assert pictures.shape == (4 * frames - 3, 16, 24, 3)
    assert after[::4] == pytest.approx(before, abs=1e-3)
    assert after[1] - after[0] == pytest.approx(after[2] - after[1], abs=1e-3)
    assert clips.sound(made)[1] == clips.sound(source)[1]


def test_groups_of_pairs_do_not_matter(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    source = clips.write(tmp_path / "v.mp4", 6)
    made = []
    for group in (2, 4, 9):
        settings = replace(tiny.SETTINGS, between=2, num_keyframes=group)
        made.append(clips.read(interpolate_clip(pipeline, source, tmp_path / f"{group}.mp4", settings=settings))[1].astype(int))
    for one in made[:2]:  # a level of rounding in a few places, through H.264
        assert abs(one - made[2]).mean() < 0.1


@pytest.mark.parametrize(
    ("tool", "source", "options", "error", "text"),
    [
        (upscale_clip, "v.mp4", {"scale": 0.0}, SettingsError, "scale is 0"),
        (upscale_clip, "v.mp4", {"size": (9000, 10)}, SettingsError, "9000x10"),
        (upscale_clip, "none.mp4", {}, DataError, "no file"),
        (interpolate_clip, "one.mp4", {}, DataError, "one picture only"),
        (interpolate_clip, "v.mp4", {"settings": replace(tiny.SETTINGS, between=0)}, SettingsError, "nothing to interpolate"),
        (interpolate_clip, "none.mp4", {}, DataError, "no file"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(
    pipeline: Show1Pipeline, tmp_path: Path, tool: Any, source: str, options: dict[str, Any], error: type[Show1Error], text: str
) -> None:
    clips.write(tmp_path / "v.mp4", 2)
    clips.write(tmp_path / "one.mp4", 1)
    with pytest.raises(error, match=text):
        tool(pipeline, tmp_path / source, tmp_path / "w.mp4", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.mp4", "v.mp4"]


def test_pictures_are_padded_to_what_a_network_takes(pipeline: Show1Pipeline) -> None:
    picture = torch.from_numpy(clips.picture(3, 14, 10).copy())
    made = fitted(picture, (14, 10), 4)
    assert made.shape == (1, 3, 12, 16)
    assert torch.equal(made[..., 14], made[..., 13]) and torch.equal(made[:, :, 11], made[:, :, 9])
    assert latent_moments(pipeline.vae, made).mean.shape == (1, 4, 6, 8)
