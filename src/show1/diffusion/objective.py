"""What a denoising network is trained on: noising, targets and loss weights, from the very scheduler that samples.

Shapes: x [B, ...] clean data, e noise like x, t [B] training timesteps.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from show1.errors import SettingsError


class Objective:
    """Forward process and loss of one stage.

    Args:
        scheduler: the stage's sampling scheduler; its noise schedule and prediction type are used.
        max_timestep: train on timesteps below this one (900 for expert translation, else all).
        min_timestep: train on timesteps from this one on.
        min_snr_gamma: clamp of the Min-SNR weighting; None weighs every timestep alike.
        shift: above 1, more of the noisier timesteps are drawn.
    """

    def __init__(
        self,
        scheduler: Any,
        *,
        max_timestep: int | None = None,
        min_timestep: int = 0,
        min_snr_gamma: float | None = 5.0,
        shift: float = 1.0,
    ) -> None:
        self.process = DDPMScheduler.from_config(scheduler.config)
        self.prediction_type = scheduler.config.prediction_type
        self.max_timestep = scheduler.config.num_train_timesteps if max_timestep is None else max_timestep
        self.min_snr_gamma = min_snr_gamma
        self.shift = shift
        self.min_timestep = min_timestep
        if not 0 < self.max_timestep <= scheduler.config.num_train_timesteps:
            raise SettingsError(f"max_timestep {max_timestep} is outside 1..{scheduler.config.num_train_timesteps}")
        if not 0 <= min_timestep < self.max_timestep:
            raise SettingsError(f"min_timestep {min_timestep} is outside 0..{self.max_timestep - 1}")

    def draw_timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """[batch] timesteps, stratified over the range so that every batch covers it evenly (Kingma et al. 2021, app. I.1).

        Shifted as by Esser et al. 2024 ("Scaling rectified flow transformers", eq. 23): u -> s u / (1 + (s - 1) u).
        """
        offsets = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        offsets = self.shift * offsets / (1 + (self.shift - 1) * offsets)
        order = torch.randperm(batch, generator=generator)
        span = self.max_timestep - self.min_timestep
        return self.min_timestep + (offsets[order] * span).long().clamp(max=span - 1)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """sqrt(abar) x + sqrt(1 - abar) e (Ho et al. 2020, eq. 4)."""
        return self.process.add_noise(clean, noise, timesteps)

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network predicts: e, x, or v = sqrt(abar) e - sqrt(1 - abar) x (Salimans & Ho 2022, app. D)."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return clean
        return self.process.get_velocity(clean, noise, timesteps)

    def weight(self, timesteps: Tensor) -> Tensor:
        """Min-SNR weights [B] of the squared error (Hang et al. 2023, sec. 3.4; v-prediction divides by SNR + 1)."""
        if self.min_snr_gamma is None:
            return torch.ones(timesteps.shape, device=timesteps.device)
        alphas = self.process.alphas_cumprod.to(timesteps.device)[timesteps].float()
        snr = alphas / (1 - alphas)
        clamped = snr.clamp(max=self.min_snr_gamma)
        return clamped / {"epsilon": snr.clamp(min=1e-8), "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[self.prediction_type]

    def errors(self, prediction: Tensor, target: Tensor, weights: Tensor | float = 1.0) -> Tensor:
        """Mean squared error a sample [B], times `weights` (like `target`, or to be spread over it).

        Variance channels of the prediction are not trained by it.
        """
        difference = prediction[:, : target.shape[1]].float() - target.float()
        return (weights * difference.square()).flatten(1).mean(1)
