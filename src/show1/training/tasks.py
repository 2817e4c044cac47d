"""What each stage trains on: its clean pictures and the very condition that sampling uses.

Shapes: B clips, F frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from show1.cascade.interpolation import blend_condition, interpolation_call, sample_interpolation
from show1.cascade.keyframes import as_labels, even_moments, keyframes_call, reads_moments, sample_keyframes
from show1.cascade.latent_upscale import sample_latent_upscale
from show1.cascade.pixel_upscale import first_frame_call, pixel_call, sample_first_frame, sample_pixel_upscale, with_first_frame
from show1.cascade.settings import PUBLISHED, SamplerSettings
from show1.cascade.stage import Sampler, Text, enlarge, repeat_to
from show1.diffusion.denoise import Network, as_video, guided, restart
from show1.diffusion.objective import Objective
from show1.errors import SettingsError
from show1.models.autoencoders import load_vae
from show1.training.chance import Chance
from show1.training.clips import (
    CLIP_FRAMES,
    FPS,
    LATENT_CELL,
    Clips,
    ClipSource,
    Wanted,
    any_time,
    any_window,
    cut,
    frame_times,
    random_crop,
)
from show1.training.components import make_scheduler, start_folder
from show1.training.config import TrainConfig
from show1.training.distilling import Distillation, student_scheduler
from show1.training.latents import latents_for
from show1.training.layout import conditioning, layout_errors
from show1.training.task import Task
from show1.training.texts import TrainingText, make_text

SCALE = PUBLISHED.pixel_scale
KEYFRAME_EVERY = PUBLISHED.between + 1
SEEN = 0.1
"""A difference of colours in [-1, 1] that is more than compression."""
SHEET_STEPS = 10
SHEET_GUIDANCE = 3.0
SHEET_NOISE_LEVEL = 100

Calls = Callable[[Sampler], Network]
"""What makes of a network the call of it that a stage's denoising loop makes, with the stage's condition."""


class DenoisingTask(Task):
    """A stage whose network denoises."""

    text_kind = "t5"
    """How the stage's text is encoded: `t5` or `clip`."""
    channels = 3
    """Channels that the network is given; 0 where that is not known from the start."""

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device, folder: Path) -> None:
        super().__init__(config, source, base, device)
        if self.channels:
            self.check_channels(self.channels)
        for module in self.network.modules():
            if isinstance(module, nn.Dropout) and module.p > 0:
                module.p = config.temporal_dropout
        self.scheduler = make_scheduler(config, base)
        if config.distill is not None:
            self.scheduler = student_scheduler(self.scheduler, config.distill.steps)
        self.objective = Objective(
            self.scheduler,
            max_timestep=config.max_timestep,
            min_timestep=config.min_timestep,
            min_snr_gamma=config.min_snr_gamma or None,
            shift=config.timestep_shift,
        )
        self.distillation = None
        if config.distill is not None:
            self.distillation = Distillation(config, self.scheduler, self.objective, self.network, device)
        self.text: TrainingText = make_text(self.text_kind, config, source, base, folder)
        self.wanted = Wanted(arrays=self.text.arrays)
        if config.train_text:
            self.modules[self.text.encoder_name] = self.text.encoder
        else:
            self.text.encoder.requires_grad_(False).eval().to(device)

    def check_channels(self, given: int) -> None:
        """Raise SettingsError if the network does not read as many channels as the stage gives it."""
        read = self.network.config.in_channels
        if read != given:
            raise SettingsError(f"[network] in_channels is {read}, but the stage '{self.config.stage}' gives its network {given}")

    def sampler(self, settings: SamplerSettings | None = None) -> Sampler:
        """The network as sampling sees it."""
        return Sampler(self.network, self.scheduler, settings or SamplerSettings(steps=1, guidance=1.0))

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        """Clean videos [B, C, F, H, W], and a network's call with the stage's condition on them."""
        raise NotImplementedError

    def sampling(self, clips: Clips, guidance: float = 1.0) -> tuple[Sampler, Text]:
        """The stage's sampler and the clips' text, for a sample sheet."""
        settings = SamplerSettings(steps=SHEET_STEPS, guidance=guidance, noise_level=SHEET_NOISE_LEVEL, strength=0.5)
        if self.config.distill is not None:
            settings = replace(settings, steps=self.config.distill.steps, guidance=1.0, strength=None)
        nothing = torch.zeros(len(clips.seeds), dtype=torch.bool)
        return self.sampler(settings), Text(self.embed_text(clips, nothing), self.embed_text(clips, ~nothing))

    def embed_text(self, clips: Clips, dropped: Tensor) -> Tensor:
        """Text embeddings [B, L, D], from the encoder as it is prepared for this run; captions are left empty where `dropped` [B]."""
        self.text.encoder = self.modules.get(self.text.encoder_name, self.text.encoder)
        return self.text.of(clips, dropped)

    def embed(self, clips: Clips, chance: Chance, dropout: float) -> Tensor:
        """Text embeddings [B, L, D], a share `dropout` of the captions left empty for classifier-free guidance."""
        return self.embed_text(clips, chance.uniform() < dropout)

    def pixel_weights(self, clips: Clips, clean: Tensor) -> Tensor | float:
        """What each pixel's error weighs."""
        return 1.0

    def further_errors(self, clips: Clips, clean: Tensor, timesteps: Tensor, text: Tensor) -> Tensor | float:
        """Errors [B] that are learned from beside the denoised clips'."""
        return 0.0

    def loss(self, chance: Chance) -> Tensor:
        clips = self.clips(chance)
        timesteps = chance.part((self.distillation or self.objective).draw_timesteps(chance.batch, chance.shared))
        return self._losses(clips, chance, timesteps, self.config.caption_dropout).mean()

    def timestep_bands(self, count: int) -> list[tuple[int, int]]:
        if self.distillation is not None:
            return [(step, step + 1) for step in sorted(self.distillation.timesteps.tolist())]
        first, span = self.objective.min_timestep, self.objective.max_timestep - self.objective.min_timestep
        edges = [first + round(span * index / count) for index in range(count + 1)]
        return [(low, high) for low, high in pairwise(edges) if low < high]

    def losses(self, chance: Chance, timesteps: Tensor, *, dropout: float) -> Tensor:
        return self._losses(self.clips(chance), chance, timesteps, dropout)

    def _losses(self, clips: Clips, chance: Chance, timesteps: Tensor, dropout: float) -> Tensor:
        clean, calls = self.example(clips, chance)
        text = self.embed(clips, chance, dropout)
        noise = chance.normal_like(clean)
        timesteps = timesteps.to(self.device)
        noisy = self.objective.noised(clean, noise, timesteps)
        target = self.objective.target(*self._taught(clips, calls, noisy, timesteps, text) or (clean, noise), timesteps)
        errors = self.objective.errors(calls(self.sampler())(noisy, timesteps, text), target, self.pixel_weights(clips, clean))
        return errors * (self.distillation or self.objective).weight(timesteps) + self.further_errors(clips, clean, timesteps, text)

    def _taught(self, clips: Clips, calls: Calls, noisy: Tensor, timesteps: Tensor, text: Tensor) -> tuple[Tensor, Tensor] | None:
        """What a teacher, where there is one, says is clean and what is noise; None to learn from the clips."""
        if self.distillation is None:
            return None
        guidance = self.distillation.config.guidance
        call = calls(replace(self.sampler(), network=self.distillation.teacher))
        negative = None if guidance <= 1.0 else self.embed_text(clips, torch.ones(len(noisy), dtype=torch.bool))
        return self.distillation.taught(noisy, timesteps, guided(call, text, negative, guidance, apart=True))

    def export(self, folder: Path) -> None:
        self.scheduler.save_pretrained(folder / self.component.replace("_unet", "_scheduler"))
        if self.config.train_text:
            self.text.save_tokenizer(folder / self.text.tokenizer_name)


def moving_in(clean: Tensor) -> Tensor:
    """Where videos [B, 3, F, H, W] in [-1, 1] differ from their median over the frames: [B, 1, F, H, W], 0 or 1."""
    stays = clean.median(dim=2, keepdim=True).values
    return ((clean - stays).abs().amax(dim=1, keepdim=True) > SEEN).to(clean)


class KeyframesTask(DenoisingTask):
    """What both phases of the keyframe network share."""

    component = "keyframes_unet"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if self.needs_moments() and not reads_moments(self.network):
            raise SettingsError(
                'learning where objects are needs a network that is told moments: set class_embed_type = "timestep" in [network]'
            )

    def needs_moments(self) -> bool:
        """Whether the network must be told each frame's moment."""
        return self.config.layout_weight > 0

    def moments(self, clips: Clips) -> Tensor:
        """The labels [B, F] of the clips' frames."""
        return as_labels(clips.times * FPS / (CLIP_FRAMES - 1)).expand(len(clips.seeds), -1).to(self.device)

    def pixel_weights(self, clips: Clips, clean: Tensor) -> Tensor | float:
        weights: Tensor | float = 1.0
        if self.config.object_weight != 1.0:
            weights = weights + (self.config.object_weight - 1.0) * clips.objects_in(clean)
        if self.config.moving_weight != 1.0:
            weights = weights + (self.config.moving_weight - 1.0) * moving_in(clean)
        return weights

    def further_errors(self, clips: Clips, clean: Tensor, timesteps: Tensor, text: Tensor) -> Tensor | float:
        if not self.config.layout_weight:
            return 0.0
        vector = conditioning(self.network, timesteps, text, self.moments(clips))
        shown = moving_in(clean) if self.config.moving_weight != 1.0 else clips.objects_in(clean)
        return self.config.layout_weight * layout_errors(vector, shown)


class KeyframesImage(KeyframesTask):
    """Single pictures: where the keyframe network's spatial layers are learned, cheaply."""

    def times(self, chance: Chance) -> Tensor:
        return any_time(chance)

    def sheet_times(self) -> Tensor:
        return frame_times(0, 1)

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        return clips.draw(clips.sizes.low), lambda sampler: self._call(clips, sampler.network)

    def _call(self, clips: Clips, network: nn.Module) -> Network:
        labels = {"class_labels": self.moments(clips).flatten()} if reads_moments(network) else {}

        def call(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
            told = {name: repeat_to(value, len(noisy)) for name, value in labels.items()}
            return network(noisy.squeeze(2), timestep, text, **told).sample.unsqueeze(2)

        return call

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips, SHEET_GUIDANCE)
        generators = restart(clips.seeds)
        drawn = clips.draw(clips.sizes.low)
        noise = sampler.noise(tuple(drawn.shape[1:]), generators)
        return drawn, sampler.run(self._call(clips, self.network), noise, text, generators)


class Keyframes(KeyframesTask):
    """Every fourth frame of a clip."""

    fps = FPS / KEYFRAME_EVERY

    def times(self, chance: Chance) -> Tensor:
        return frame_times(0, self.config.frames, KEYFRAME_EVERY)

    def sheet_times(self) -> Tensor:
        return frame_times(0, self.config.frames, KEYFRAME_EVERY)

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        return clips.draw(clips.sizes.low), lambda sampler: keyframes_call(sampler, even_moments(self.config.frames))

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips, SHEET_GUIDANCE)
        return clips.draw(clips.sizes.low), sample_keyframes(sampler, text, self.config.frames, clips.sizes.low, clips.seeds)


class Interpolation(DenoisingTask):
    """The frames from one keyframe to the next."""

    component = "interpolation_unet"
    channels = 7

    def times(self, chance: Chance) -> Tensor:
        pairs = (CLIP_FRAMES - 1) // KEYFRAME_EVERY
        starts = chance.integers(pairs, 1) * KEYFRAME_EVERY
        return frame_times(0, KEYFRAME_EVERY + 1) + starts / FPS

    def sheet_times(self) -> Tensor:
        return frame_times(0, 2 * KEYFRAME_EVERY + 1)

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        clean = clips.draw(clips.sizes.low)
        ends = clean[:, :, [0, -1]]
        ends = ends + self.config.condition_noise * chance.normal_like(ends)
        condition = blend_condition(ends[:, :, 0], ends[:, :, 1], clean.shape[2])
        return clean, lambda sampler: interpolation_call(sampler, condition)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        drawn = clips.draw(clips.sizes.low)
        return drawn, sample_interpolation(sampler, text, drawn[:, :, ::KEYFRAME_EVERY], KEYFRAME_EVERY - 1, clips.seeds)


class Upscaler(DenoisingTask):
    """What both pixel upscalers share: a window of a clip, large and enlarged-and-noised."""

    channels = 6

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.noising = DDPMScheduler(beta_schedule="squaredcos_cap_v2")

    def views(self, clips: Clips, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
        """Clean pictures, their noised low-resolution condition (both [B, 3, F, h, w]) and its noise level [B]."""
        window = random_crop(clips.sizes.pixel, self.config.crop, 8, chance.shared)
        clean = clips.draw(clips.sizes.pixel, window)
        low = clips.draw(clips.sizes.low)
        enlarged = cut(enlarge(low, SCALE), window)
        levels = chance.integers(self.config.max_noise_level + 1).to(self.device)
        return clean, self.noising.add_noise(enlarged, chance.normal_like(enlarged), levels), levels

    def export(self, folder: Path) -> None:
        super().export(folder)
        self.noising.save_pretrained(folder / self.component.replace("_unet", "_noising_scheduler"))


class FirstFrame(Upscaler):
    """Single pictures, 64 x 40 -> 256 x 160."""

    component = "first_frame_unet"

    def times(self, chance: Chance) -> Tensor:
        return any_time(chance)

    def sheet_times(self) -> Tensor:
        return frame_times(0, 1)

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        clean, condition, levels = self.views(clips, chance)
        return clean, lambda sampler: first_frame_call(sampler, condition, levels)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        low = clips.draw(clips.sizes.low)
        return clips.draw(clips.sizes.pixel), sample_first_frame(sampler, self.noising, text, low, SCALE, clips.seeds)


class PixelUpscale(Upscaler):
    """Windows of neighbouring frames, 64 x 40 -> 256 x 160, led by a finished frame."""

    component = "pixel_upscale_unet"

    def times(self, chance: Chance) -> Tensor:
        return any_window(self.config.frames, chance)

    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        clean, condition, levels = self.views(clips, chance)
        led = clean[:, :, :1]
        led = led + self.config.condition_noise * chance.normal_like(led)
        return clean, lambda sampler: pixel_call(sampler, with_first_frame(condition, led), levels)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        frames = self.config.frames
        drawn, low = clips.draw(clips.sizes.pixel), clips.draw(clips.sizes.low)
        first = drawn[:, :, :1]
        made = sample_pixel_upscale(sampler, self.noising, text, low, first, SCALE, frames, frames - 1, clips.seeds)
        return drawn, made


class Latent(DenoisingTask):
    """Latents of parts of large clips; trained below `max_timestep`, the network becomes the expert that translates."""

    component = "latent_unet"
    text_kind = "clip"
    channels = 0  # as many as the VAE's latents have

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        folder = start_folder(self.config, "vae", self.base)
        if folder is None:
            raise SettingsError("the latent stage trains on a VAE's latents: name its folder as `vae` in [start]")
        self.vae = load_vae(folder).requires_grad_(False).to(self.device)
        self.check_channels(self.vae.config.latent_channels)
        self.latents = latents_for(self.source, self.vae, folder)
        self.wanted = Wanted(frames=self.latents.from_frames, arrays=(*self.wanted.arrays, *self.latents.arrays))

    def times(self, chance: Chance) -> Tensor:
        return any_window(self.config.frames, chance)

    @torch.no_grad()
    def example(self, clips: Clips, chance: Chance) -> tuple[Tensor, Calls]:
        window = random_crop(clips.sizes.final, self.config.crop, LATENT_CELL, chance.shared)
        generators: Any = [generator for generator in chance.each for _ in range(self.config.frames)]
        latents = self.latents.of(clips, window).sample(generators) * self.vae.config.scaling_factor
        return as_video(latents, len(clips.seeds)), lambda sampler: sampler.predict

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        drawn, low = clips.draw(clips.sizes.final), clips.draw(clips.sizes.pixel)
        return drawn, sample_latent_upscale(sampler, self.vae, text, low, clips.sizes.final, clips.seeds)
