"""A given first frame, and videos longer than the networks know."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor

import tiny
from show1 import Show1Pipeline
from show1.cascade.inputs import cover
from show1.cascade.settings import SamplerSettings
from show1.cascade.stage import Sampler, Text
from show1.diffusion.blending import in_windows
from show1.errors import SettingsError

PROMPT = "a rocket flies over the ocean"
PICTURE = Image.linear_gradient("L").convert("RGB")


def alone(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """A network that looks at every frame alone."""
    return torch.sin(noisy) * timestep


@pytest.mark.parametrize(("frames", "length", "stride"), [(8, 8, 4), (9, 8, 4), (15, 8, 4), (29, 8, 7), (6, 4, 1)])
def test_windows_do_not_matter_to_a_network_that_sees_frames_alone(frames: int, length: int, stride: int) -> None:
    noisy = torch.randn(2, 3, frames, 4, 4, generator=torch.Generator().manual_seed(1))
    made = in_windows(lambda part: alone, frames, length, stride)(noisy, torch.tensor(3.0), noisy)
    assert torch.allclose(made, torch.sin(noisy) * 3, atol=1e-5)


def test_windows_that_disagree_are_blended_without_a_seam() -> None:
    calls: list[int] = []

    def numbered(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        calls.append(noisy.shape[2])
        return torch.full_like(noisy, float(len(calls)))

    noisy = torch.zeros(1, 3, 20, 2, 2)
    made = in_windows(lambda part: numbered, 20, 8, 4)(noisy, torch.tensor(0), noisy)[0, 0, :, 0, 0]
    assert calls == [8] * 4
    assert made.diff().min() >= 0 and made.diff().max() < 0.5 and (made[0], made[-1]) == (1, 4)


@pytest.mark.parametrize("scheduler", [tiny.solver(), DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")])
def test_held_frames_end_as_given_and_are_noised_on_the_way(scheduler: Any) -> None:
    known = torch.rand(1, 3, 1, 4, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    network = torch.nn.Linear(1, 1)
    sampler = Sampler(network, scheduler, SamplerSettings(steps=5, guidance=1.0))
    noise = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    seen: list[Tensor] = []

    def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        seen.append(noisy[:, :, :1].clone())
        return noisy * 0.1

    made = sampler.run(call, noise, Text(torch.zeros(1, 1, 1)), [torch.Generator().manual_seed(1)], known=known)
    assert torch.equal(made[:, :, :1], known)
    # From noise to picture along one line: ever nearer to the picture, ever less of the noise.
    away = [float((frame - known).norm()) for frame in seen]
    assert away == sorted(away, reverse=True) and away[-1] > 0
    signal = [torch.linalg.lstsq(torch.stack([known.flatten(), noise[:, :, :1].flatten()], 1), f.flatten()[:, None]) for f in seen]
    assert all(float((s.solution**2).sum()) == pytest.approx(1, abs=1e-3) for s in signal)  # alpha^2 + sigma^2


def test_a_given_picture_is_the_first_keyframe_and_leads_the_upscaler(pipeline: Show1Pipeline) -> None:
    out = pipeline([PROMPT, "two turtles"], seed=3, image=PICTURE, stop_after="pixel", output_type="pt")
    assert torch.allclose(out.keyframes[:, :, :1], cover(PICTURE, (16, 8)).repeat(2, 1, 1, 1, 1))
    assert torch.equal(out.first_frame, cover(PICTURE, (32, 16)).repeat(2, 1, 1, 1, 1))
    free = pipeline([PROMPT, "two turtles"], seed=3, stop_after="keyframes", output_type="pt")
    assert not torch.allclose(out.keyframes[:, :, 1:], free.keyframes[:, :, 1:], atol=1e-3)  # the others follow it


def test_pictures_are_cut_and_turned_and_laid_on_white() -> None:
    wide = Image.new("RGBA", (30, 10), (0, 0, 0, 0))
    wide.paste((255, 0, 0, 255), (15, 0, 30, 10))
    frame = cover(wide, (8, 8))
    assert frame.shape == (1, 3, 1, 8, 8)
    assert frame[0, :, 0, 4, 0].tolist() == [1, 1, 1] and frame[0, :, 0, 4, 7].tolist() == [1, -1, -1]
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned
    tall = Image.new("RGB", (16, 8), "black")
    tall.paste("white", (0, 0, 8, 8))
    tall.info["exif"] = exif.tobytes()
    tall.getexif()[0x0112] = 6
    assert cover(tall, (8, 16))[0, 0, 0, :, 4].tolist()[::15] == [1, -1]
    with pytest.raises(SettingsError, match="PIL picture, not str"):
        cover("picture.png", (8, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_longer_videos_are_made_in_windows(pipeline: Show1Pipeline, scale: float) -> None:
    settings = replace(tiny.SETTINGS, keyframe_window=4, keyframe_stride=2, latent_window=6, latent_overlap=2).with_frames(13)
    settings = settings.with_samplers("guidance", {"keyframes": scale})
    out = pipeline([PROMPT, "two turtles"], seed=3, settings=settings, output_type="pt")
    assert out.frames.shape == (2, 13, 3, 32, 48) and torch.isfinite(out.frames).all()
    one = pipeline("two turtles", seed=4, settings=settings, output_type="pt")
    assert (out.keyframes[1:] - one.keyframes).abs().max() < 1e-4
    assert (out.frames[1:] - one.frames).abs().max() < 0.05


def test_frames_follow_from_keyframes() -> None:
    assert tiny.SETTINGS.with_frames(13).num_keyframes == 7
    for frames, text in ((12, r"12 frames.*use 11 or 13"), (0, "0 frames")):
        with pytest.raises(SettingsError, match=text):
            tiny.SETTINGS.with_frames(frames)
    for change, text in (({"keyframe_stride": 8}, "keyframe_window"), ({"latent_overlap": 20}, "half of latent_window")):
        with pytest.raises(SettingsError, match=text):
            replace(tiny.SETTINGS, **change)
