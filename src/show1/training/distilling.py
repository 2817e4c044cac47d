"""Progressive distillation (Salimans & Ho 2022, algorithm 2): a network learns to do in one step what its teacher does in several.

Shapes: z [B, C, F, H, W] noisy videos, t [B] training timesteps; z_t = a x + s e, with a = sqrt(abar_t) and s = sqrt(1 - abar_t).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from show1.diffusion.denoise import Predict
from show1.diffusion.objective import Objective
from show1.errors import SettingsError
from show1.training.config import TrainConfig

SIGNAL = 1e-6
"""A smaller share of the picture's variance is none."""


def student_scheduler(scheduler: Any, steps: int) -> DDIMScheduler:
    """The sampler of the network that is trained: DDIM in so many steps from pure noise, of the stage's own noise schedule.

    Raises:
        SettingsError: steps that do not divide the schedule, or a schedule that ends without a signal for a network that predicts noise.
    """
    clip = bool(scheduler.config.get("clip_sample", False))
    student = DDIMScheduler.from_config(scheduler.config, timestep_spacing="trailing", clip_sample=clip, set_alpha_to_one=True)
    if student.config.num_train_timesteps % steps:
        raise SettingsError(f"[distill] steps is {steps}; use a divisor of the {student.config.num_train_timesteps} training timesteps")
    if student.config.prediction_type == "epsilon" and float(student.alphas_cumprod[-1]) < SIGNAL:
        raise SettingsError(
            "[distill]: a network that predicts noise has nothing to learn where its schedule ends without a signal; use one that predicts "
            "v or x, or a schedule such as scaled_linear"
        )
    student.set_timesteps(steps)
    return student


class Distillation:
    """One run's teacher, and the steps that it teaches.

    Args:
        config: the run's, with `distill`.
        student: the scheduler that the network will be sampled with.
        objective: the stage's noise schedule and loss.
        network: where the network starts, which is the teacher from then on.
        device: where the teacher computes.
    """

    def __init__(self, config: TrainConfig, student: DDIMScheduler, objective: Objective, network: nn.Module, device: torch.device) -> None:
        assert config.distill is not None
        self.config = config.distill
        self.student = student
        self.objective = objective
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval().to(device)
        self.precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(config.precision)
        usable = (student.timesteps >= objective.min_timestep) & (student.timesteps < objective.max_timestep)
        self.timesteps = student.timesteps[usable]
        """The student's timesteps within the stage's range, the noisiest first."""
        if not len(self.timesteps):
            raise SettingsError(f"[distill] steps is {self.config.steps}; none of them lies within min_timestep and max_timestep")

    def draw_timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """[batch] of the student's timesteps, spread evenly over every batch."""
        places = (torch.randperm(batch, generator=generator) + torch.rand((), generator=generator)) / batch
        return self.timesteps[(places * len(self.timesteps)).long().clamp(max=len(self.timesteps) - 1)]

    def weight(self, timesteps: Tensor) -> Tensor:
        """Weights [B] of the squared error: truncated SNR, max(SNR, 1) on x (Salimans & Ho 2022, section 4)."""
        alphas = self._alphas(timesteps)
        snr = alphas / (1 - alphas)
        return snr.clamp(min=1) / {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[self.objective.prediction_type]

    @torch.no_grad()
    def taught(self, noisy: Tensor, timesteps: Tensor, predict: Predict) -> tuple[Tensor, Tensor]:
        """The x and e [B, C, F, H, W] from which one step of the student ends where the teacher's steps end (appendix G).

        Args:
            noisy: z_t.
            timesteps: t, of the student's.
            predict: the teacher's (guided) prediction.
        """
        stride = self.student.config.num_train_timesteps // self.config.steps
        parts = self.config.teacher_steps_each()
        z, now = noisy, timesteps
        with torch.autocast(noisy.device.type, self.precision, enabled=self.precision is not None):
            for part in range(1, parts + 1):
                clean = self._clean(predict(z, now)[:, : z.shape[1]].float(), z, now)
                noise = self._noise(clean, z, now)
                now = timesteps - round(stride * part / parts)
                signal, spread = self._levels(now)
                z = signal * clean + spread * noise
        (signal, spread), (signal_end, spread_end) = self._levels(timesteps), self._levels(now)
        ratio = spread_end / spread
        clean = (z - ratio * noisy) / (signal_end - ratio * signal)
        return clean, self._noise(clean, noisy, timesteps)

    def _clean(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """x from a prediction, kept in range as the student's sampler keeps it."""
        signal, spread = self._levels(timesteps)
        kinds: dict[str, Callable[[], Tensor]] = {
            "epsilon": lambda: (noisy - spread * prediction) / signal,
            "v_prediction": lambda: signal * noisy - spread * prediction,
            "sample": lambda: prediction,
        }
        clean = kinds[self.objective.prediction_type]()
        if self.student.config.thresholding:
            return self.student._threshold_sample(clean)
        largest = self.student.config.clip_sample_range
        return clean.clamp(-largest, largest) if self.student.config.clip_sample else clean

    def _noise(self, clean: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        signal, spread = self._levels(timesteps)
        return (noisy - signal * clean) / spread

    def _alphas(self, timesteps: Tensor) -> Tensor:
        """abar [B]; 1 after the last step, at timestep -1."""
        alphas = torch.cat([torch.ones(1), self.student.alphas_cumprod]).to(timesteps.device)
        return alphas[timesteps + 1].float()

    def _levels(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """a and s, [B, 1, 1, 1, 1]."""
        alphas = self._alphas(timesteps).view(-1, 1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()
