"""What every stage is made of: a network with its scheduler and settings, and the text it obeys.

Shapes: B videos, C channels, F frames, H x W pixels or latents, L text tokens, D text width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from show1.cascade.settings import SamplerSettings
from show1.diffusion.blending import holding
from show1.diffusion.denoise import Network, OnStep, Predict, as_frames, as_video, denoise, draw_noise, fresh_scheduler, guided

STATE = torch.float32
"""What samples and conditions are kept in between the networks' calls, whatever those compute in."""


@dataclass(frozen=True)
class Text:
    """Embeddings of what is asked and what is to be avoided (None where nothing guides)."""

    positive: Tensor
    """[B, L, D]"""
    negative: Tensor | None = None
    """[B, L, D]"""

    def to(self, device: torch.device) -> Text:
        """The text on a device."""
        return Text(self.positive.to(device), None if self.negative is None else self.negative.to(device))

    def for_windows(self, count: int) -> Text:
        """Each video's text repeated for its windows: [B * count, L, D]."""
        negative = None if self.negative is None else self.negative.repeat_interleave(count, 0)
        return Text(self.positive.repeat_interleave(count, 0), negative)

    def of_some(self, part: slice) -> Text:
        """The text of some videos."""
        return Text(self.positive[part], None if self.negative is None else self.negative[part])

    def of_each(self) -> list[Text]:
        """The text of each video alone, [1, L, D]."""
        negatives = [None] * len(self.positive) if self.negative is None else self.negative.split(1)
        return [Text(positive, negative) for positive, negative in zip(self.positive.split(1), negatives, strict=True)]


@dataclass(frozen=True)
class Sampler:
    """A network, the scheduler it is sampled with, and how."""

    network: nn.Module
    scheduler: Any
    settings: SamplerSettings
    execution_device: torch.device | None = None
    """Where it runs, where that is not where the weights lie (offloading)."""
    apart: bool = False
    """Whether guided and unguided predictions are computed one after the other, which takes less memory."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.execution_device or next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return next(self.network.parameters()).dtype

    def predict(self, video: Tensor, timestep: Tensor, text: Tensor, **conditions: Tensor) -> Tensor:
        """What the network makes of a noisy video, in float32 whatever it computes in: solvers add up small differences."""
        return self.network(video.to(self.dtype), timestep, text, **conditions).sample.to(STATE)

    def noise(self, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Standard normal noise [B, *shape] where the network computes."""
        return draw_noise(shape, generators, self.device, STATE)

    def state(self, video: Tensor) -> Tensor:
        """A video where the network computes, in what samples are kept in."""
        return video.to(self.device, STATE)

    def guided(self, call: Network, text: Text) -> Predict:
        """What the solver asks: the network's predictions, guided by the text."""
        return guided(call, text.positive, text.negative, self.settings.guidance, apart=self.apart)

    def run(
        self,
        call: Network,
        sample: Tensor,
        text: Text,
        generators: list[torch.Generator],
        on_step: OnStep | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Denoise `sample` [B, C, F, H, W], pure noise of unit variance, to the end. Returns it unclamped.

        The first frames are held at those `known` [B, C, n, H, W], where there are any.
        """
        scheduler = fresh_scheduler(self.scheduler, self.settings.steps, self.device)
        if known is not None:
            noise = sample[:, :, : known.shape[2]]
            start = scheduler.add_noise(known, noise, scheduler.timesteps[:1].expand(len(known)))
            on_step = holding(scheduler, known, noise, scheduler.timesteps, on_step)
            sample = torch.cat([start / scheduler.init_noise_sigma, sample[:, :, known.shape[2] :]], dim=2)
        predict = self.guided(call, text)
        return denoise(predict, sample * scheduler.init_noise_sigma, scheduler, scheduler.timesteps, generators, on_step)


def repeat_to(condition: Tensor, batch: int) -> Tensor:
    """Repeat a condition for the unguided and guided halves of a batch."""
    return condition.repeat(batch // condition.shape[0], *[1] * (condition.ndim - 1))


def enlarge(low: Tensor, scale: int) -> Tensor:
    """Resize the upscalers' low-resolution condition [B, 3, F, H, W] -> [B, 3, F, H * scale, W * scale], bilinear, as published.

    Noise is put on it afterwards: `add_noise` of the noising scheduler, at a noise level the network is told
    (Ho et al. 2021, "Cascaded Diffusion Models", section 4).
    """
    height, width = low.shape[-2] * scale, low.shape[-1] * scale
    frames = functional.interpolate(as_frames(low), (height, width), mode="bilinear", align_corners=True)
    return as_video(frames, low.shape[0])
