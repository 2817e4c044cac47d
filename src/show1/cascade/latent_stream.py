"""Expert translation of any number of frames in constant memory: overlapping windows that follow one another.

Shapes: L frames a window, H x W pixels, h x w latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from show1.cascade.latent_upscale import decode, latent_moments
from show1.cascade.stage import Sampler, Text
from show1.diffusion.denoise import OnStep, as_video, denoise, fresh_scheduler

OnWindow = Callable[[int], OnStep | None]
"""Window number -> its step callback."""


def translation_windows(frames: int, length: int, overlap: int) -> list[int]:
    """Frames in each window that `Translation` makes of so many frames."""
    if frames <= length:
        return [frames]
    return [length] * (1 + -(-(frames - length) // (length - overlap)))


def frame_generator(seed: int, frame: int, purpose: int) -> torch.Generator:
    """A generator that follows from the seed and the frame's number alone, whatever window the frame is in."""
    state = np.random.SeedSequence((seed, frame, purpose)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) % 2**63)


@dataclass
class _Window:
    """What is kept of the last window: everything here is latents of at most L frames."""

    number: int = 0
    first: int = 0
    """Number of its first frame."""
    starts: list[Tensor] = field(default_factory=list)
    """Noised latents [1, 4, h, w] of its frames."""
    trail: list[Tensor] = field(default_factory=list)
    """Its sample [1, 4, L, h, w] after every step."""
    given: int = 0
    """How many of its frames came out already."""


class Translation:
    """Translates a stream of pictures, window by window.

    Every frame's noise follows from the seed and its number, so that windows which share frames start from the same
    latents there. At every step the later window's sample of a shared frame is blended with the earlier one's,
    from all of the earlier to all of the later: the windows stay on one path, and no seam can be seen.

    Args:
        sampler: the latent network and how it samples.
        vae: the autoencoder.
        text: of one video.
        seed: of that video.
        length: frames a window.
        overlap: frames that it shares with the one before, at most half of it.
        on_window: called with each window's number, for its step callback.
    """

    def __init__(
        self, sampler: Sampler, vae: Any, text: Text, seed: int, length: int, overlap: int, on_window: OnWindow = lambda number: None
    ) -> None:
        self.sampler, self.vae, self.text, self.seed = sampler, vae, text, seed
        self.length, self.overlap, self.on_window = length, overlap, on_window

    def __call__(self, pictures: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pictures [1, 3, H, W] in [-1, 1], at their final size -> as many translated ones, nominally in [-1, 1], not clamped."""
        for latents in self._windows(iter(pictures)):
            yield from decode(self.vae, latents)

    def _windows(self, pictures: Iterator[Tensor]) -> Iterator[Tensor]:
        """Finished latents [1, 4, n, h, w], in order."""
        numbered = enumerate(pictures)
        window = _Window(starts=[self._start(picture, number) for number, picture in islice(numbered, self.length)])
        if not window.starts:
            return
        self._denoise(window, torch.zeros(len(window.starts)))
        while True:
            wanted = self.length - self.overlap
            new = [self._start(picture, number) for number, picture in islice(numbered, wanted)]
            end = len(window.starts) if not new else len(window.starts) - self.overlap
            if end > window.given:
                yield window.trail[-1][:, :, window.given : end]
                window.given = end
            if not new:
                return
            window = self._following(window, new)

    def _following(self, before: _Window, new: list[Tensor]) -> _Window:
        """The window that ends on the new frames; as long as the others, so that it may share more with the one before."""
        shift, shared = len(new), len(before.starts) - len(new)
        window = _Window(before.number + 1, before.first + shift, [*before.starts[shift:], *new], given=before.given - shift)
        window.trail = [sample[:, :, shift:] for sample in before.trail]
        share = torch.zeros(len(window.starts))  # of the earlier window: 1 where its frames came out, then down to 0
        share[: window.given] = 1
        share[window.given : shared] = 1 - torch.arange(1, self.overlap + 1) / (self.overlap + 1)
        self._denoise(window, share)
        return window

    def _start(self, picture: Tensor, number: int) -> Tensor:
        """A picture's latent, noised to where denoising starts."""
        generator = frame_generator(self.seed, number, 0)
        latent = latent_moments(self.vae, self.sampler.state(picture)).sample(generator)
        latent = latent * self.vae.config.scaling_factor
        noise = torch.randn(latent.shape, generator=generator, dtype=latent.dtype).to(latent.device)
        scheduler, timesteps = self._schedule()
        return scheduler.add_noise(latent, noise, timesteps[:1])

    def _schedule(self) -> tuple[Any, Tensor]:
        settings = self.sampler.settings
        scheduler = fresh_scheduler(self.sampler.scheduler, settings.steps, self.sampler.device)
        return scheduler, scheduler.timesteps[(settings.steps - settings.steps_run()) * scheduler.order :]

    def _denoise(self, window: _Window, share: Tensor) -> None:
        """Denoise a window; its trail then holds its own samples, blended with those of the one before by that one's share."""
        scheduler, timesteps = self._schedule()
        earlier, window.trail = window.trail, []
        report = self.on_window(window.number)
        weights = self.sampler.state(share).view(1, 1, -1, 1, 1)

        def blend(index: int, timestep: Tensor, sample: Tensor) -> Tensor:
            if earlier:
                shared = earlier[index].shape[2]
                mixed = torch.lerp(sample[:, :, :shared], earlier[index], weights[:, :, :shared])
                sample = torch.cat([mixed, sample[:, :, shared:]], dim=2)
            if report is not None:
                sample = report(index, timestep, sample)
            window.trail.append(sample)
            return sample

        generators = [frame_generator(self.seed, window.first + k, 1) for k in range(len(window.starts))]
        predict = self.sampler.guided(self.sampler.predict, self.text)
        denoise(predict, as_video(torch.cat(window.starts), 1), scheduler, timesteps, generators, blend)
