"""Guidance by its formula, and the denoising loop with a denoiser that knows the answer."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from show1.diffusion.denoise import as_frames, as_video, denoise, draw_noise, fresh_scheduler, guided, restart

CPU = torch.device("cpu")
CLEAN = torch.rand(2, 3, 4, 6, 5, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def knows(clean: Tensor, scheduler: Any, variance_channels: int = 0) -> Any:
    """A perfect denoiser: the prediction that says that `clean` is behind the noise."""

    def predict(sample: Tensor, timestep: Tensor) -> Tensor:
        alpha = scheduler.alphas_cumprod[int(timestep)].sqrt()
        sigma = (1 - alpha**2).sqrt()
        noise = (sample - alpha * clean) / sigma
        kind = scheduler.config.prediction_type
        out = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean, "sample": clean}[kind]
        return torch.cat([out, torch.zeros_like(out)], 1) if variance_channels else out

    return predict


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("cls", [DPMSolverMultistepScheduler, DDIMScheduler, DDPMScheduler])
def test_a_perfect_denoiser_gives_the_clean_video(cls: Any, kind: str) -> None:
    made = fresh_scheduler(cls(prediction_type=kind, beta_schedule="squaredcos_cap_v2"), 12, CPU)
    generators = restart([1, 2])
    start = draw_noise(CLEAN.shape[1:], generators, CPU, torch.float32)
    out = denoise(knows(CLEAN, made), start, made, made.timesteps, generators)
    assert (out - CLEAN).abs().max() < 1e-3


@pytest.mark.parametrize("variance_type", ["fixed_small", "learned_range"])
def test_variance_channels_are_used_only_where_they_are_learned(variance_type: str) -> None:
    made = fresh_scheduler(DDPMScheduler(variance_type=variance_type, beta_schedule="squaredcos_cap_v2"), 12, CPU)
    generators = restart([1, 2])
    start = draw_noise(CLEAN.shape[1:], generators, CPU, torch.float32)
    out = denoise(knows(CLEAN, made, variance_channels=3), start, made, made.timesteps, generators)
    assert (out - CLEAN).abs().max() < 1e-3


def test_step_callback_sees_all_steps_and_its_sample_goes_on() -> None:
    made = fresh_scheduler(DDIMScheduler(), 4, CPU)
    seen: list[int] = []

    def on_step(index: int, timestep: Tensor, sample: Tensor) -> Tensor:
        seen.append(index)
        return sample + (7.0 if index == 3 else 0.0)

    start = torch.randn(2, 3, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    out = denoise(knows(CLEAN, made), start, made, made.timesteps, restart([1, 2]), on_step)
    assert seen == [0, 1, 2, 3]
    assert (out - 7.0 - CLEAN).abs().max() < 0.05


def test_dynamic_thresholding_is_per_frame() -> None:
    scheduler = DDPMScheduler(prediction_type="sample", thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=1.0)
    made = fresh_scheduler(scheduler, 1, CPU)
    clean = torch.full((1, 3, 2, 4, 4), 0.5)
    clean[:, :, 1] = torch.linspace(-3, 3, 16).view(4, 4)
    out = denoise(lambda sample, timestep: clean, torch.zeros_like(clean), made, made.timesteps, restart([1]))
    assert torch.allclose(out[:, :, 0], clean[:, :, 0])  # a bright second frame does not dim the first
    assert out[:, :, 1].abs().max() == 1.0


def test_guidance_is_the_formula_and_leaves_the_variance_alone() -> None:
    text, negative = torch.full((2, 1, 1), 3.0), torch.full((2, 1, 1), 1.0)

    def network(sample: Tensor, timestep: Tensor, embeddings: Tensor) -> Tensor:
        return torch.cat([sample * embeddings[..., None, None], embeddings[..., None, None].expand_as(sample) * 10], dim=1)

    sample = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    out = guided(network, text, negative, 4.0)(sample, torch.tensor(5))
    assert torch.allclose(out[:, :3], sample * (1 + 4.0 * (3 - 1)))
    assert torch.all(out[:, 3:] == 30.0)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_no_guidance_is_one_call_of_the_network(scale: float) -> None:
    batches: list[int] = []

    def network(sample: Tensor, timestep: Tensor, embeddings: Tensor) -> Tensor:
        batches.append(sample.shape[0])
        return sample

    guided(network, torch.ones(2, 1, 1), torch.zeros(2, 1, 1), scale)(torch.zeros(2, 3, 1, 2, 2), torch.tensor(5))
    guided(network, torch.ones(2, 1, 1), None, 5.0)(torch.zeros(2, 3, 1, 2, 2), torch.tensor(5))
    assert batches == [2, 2]


def test_noise_of_a_video_does_not_depend_on_its_batch() -> None:
    both = draw_noise((3, 2, 4, 4), restart([4, 9]), CPU, torch.float32)
    assert torch.equal(both[1:], draw_noise((3, 2, 4, 4), restart([9]), CPU, torch.float32))


def test_frames_and_videos_convert_back_and_forth() -> None:
    frames = as_frames(CLEAN)
    assert torch.equal(frames[5], CLEAN[1, :, 1])
    assert torch.equal(as_video(frames, 2), CLEAN)


def test_a_scheduler_is_not_changed_by_its_use() -> None:
    scheduler = DPMSolverMultistepScheduler()
    before = scheduler.timesteps.clone()
    fresh_scheduler(scheduler, 3, CPU)
    assert torch.equal(scheduler.timesteps, before)
