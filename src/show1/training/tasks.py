"""What each stage trains on: its clean pictures and the very condition that sampling uses.

Shapes: B clips, F frames, H x W pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from show1.cascade.interpolation import blend_condition, interpolation_call, sample_interpolation
from show1.cascade.keyframes import sample_keyframes
from show1.cascade.latent_upscale import latent_moments, sample_latent_upscale
from show1.cascade.pixel_upscale import first_frame_call, pixel_call, sample_first_frame, sample_pixel_upscale, with_first_frame
from show1.cascade.settings import PUBLISHED, SamplerSettings
from show1.cascade.stage import Sampler, Text, enlarge
from show1.diffusion.denoise import Network, as_frames, as_video, restart
from show1.diffusion.objective import Objective
from show1.errors import SettingsError
from show1.models.loading import load_network
from show1.training.clips import CLIP_FRAMES, FINAL_SIZE, FPS, LATENT_CELL, Clips, cut, frame_times, random_crop
from show1.training.components import make_scheduler, start_folder
from show1.training.config import TrainConfig
from show1.training.task import Task
from show1.training.texts import ClipText, T5Text, TrainingText
from show1.worlds.emoji import EmojiWorld

LOW_SIZE, PIXEL_SIZE = (PUBLISHED.stage_sizes()[stage] for stage in ("keyframes", "pixel"))
SCALE = PUBLISHED.pixel_scale
KEYFRAME_EVERY = PUBLISHED.between + 1
SHEET_STEPS = 10
SHEET_GUIDANCE = 3.0
SHEET_NOISE_LEVEL = 100


class DenoisingTask(Task):
    """A stage whose network denoises."""

    def __init__(self, config: TrainConfig, world: EmojiWorld, base: Path, device: torch.device, folder: Path) -> None:
        super().__init__(config, world, base, device)
        for module in self.network.modules():
            if isinstance(module, nn.Dropout) and module.p > 0:
                module.p = config.temporal_dropout
        self.scheduler = make_scheduler(config, base)
        self.objective = Objective(self.scheduler, max_timestep=config.max_timestep, min_snr_gamma=config.min_snr_gamma or None)
        self.text = self.make_text(folder)
        if config.train_text:
            self.modules[self.text.encoder_name] = self.text.encoder
        else:
            self.text.encoder.requires_grad_(False).eval().to(device)

    def make_text(self, folder: Path) -> TrainingText:
        """The stage's tokenizer and text encoder."""
        return T5Text(self.config, self.world, self.base, folder)

    def sampler(self, settings: SamplerSettings | None = None) -> Sampler:
        """The network as sampling sees it."""
        return Sampler(self.network, self.scheduler, settings or SamplerSettings(steps=1, guidance=1.0))

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        """Clean videos [B, C, F, H, W], and the network with the stage's condition on them."""
        raise NotImplementedError

    def sampling(self, clips: Clips, guidance: float = 1.0) -> tuple[Sampler, Text]:
        """The stage's sampler and the clips' text, for a sample sheet."""
        settings = SamplerSettings(steps=SHEET_STEPS, guidance=guidance, noise_level=SHEET_NOISE_LEVEL, strength=0.5)
        text = self.embed_text([*clips.captions, *[""] * len(clips.seeds)])
        return self.sampler(settings), Text(*text.chunk(2))

    def embed_text(self, captions: list[str]) -> Tensor:
        """Text embeddings [B, L, D], from the encoder as it is prepared for this run."""
        self.text.encoder = self.modules.get(self.text.encoder_name, self.text.encoder)
        return self.text.embed(captions)

    def embed(self, captions: list[str], generator: torch.Generator) -> Tensor:
        """Text embeddings [B, L, D], some captions left empty for classifier-free guidance."""
        dropped = torch.rand(len(captions), generator=generator) < self.config.caption_dropout
        return self.embed_text(["" if drop else text for text, drop in zip(captions, dropped, strict=True)])

    def pixel_weights(self, clips: Clips, clean: Tensor) -> Tensor | float:
        """What each pixel's error weighs."""
        return 1.0

    def noise_like(self, sample: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal noise of a tensor's shape."""
        return torch.randn(sample.shape, generator=generator).to(sample)

    def loss(self, seeds: list[int], generator: torch.Generator) -> Tensor:
        clips = Clips.training(self.world, seeds, self.device)
        clean, call = self.example(clips, generator)
        text = self.embed(clips.captions, generator)
        noise = self.noise_like(clean, generator)
        timesteps = self.objective.draw_timesteps(len(seeds), generator).to(self.device)
        noisy = self.objective.noised(clean, noise, timesteps)
        target = self.objective.target(clean, noise, timesteps)
        errors = self.objective.errors(call(noisy, timesteps, text), target, self.pixel_weights(clips, clean))
        return (errors * self.objective.weight(timesteps)).mean()

    def export(self, folder: Path) -> None:
        self.scheduler.save_pretrained(folder / self.component.replace("_unet", "_scheduler"))
        if self.config.train_text:
            self.text.save_tokenizer(folder / self.text.tokenizer_name)


class KeyframesTask(DenoisingTask):
    """What both phases of the keyframe network share."""

    component = "keyframes_unet"

    def pixel_weights(self, clips: Clips, clean: Tensor) -> Tensor | float:
        if self.config.object_weight == 1.0:
            return 1.0
        return 1.0 + (self.config.object_weight - 1.0) * self.world.objects_in(clean, clips.scenes, clips.seeds)


class KeyframesImage(KeyframesTask):
    """Single pictures: where the keyframe network's spatial layers are learned, cheaply."""

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        times = torch.rand(len(clips.seeds), 1, generator=generator) * frame_times(CLIP_FRAMES - 1, 1)
        return clips.draw(times, LOW_SIZE), self._call()

    def _call(self) -> Network:
        network = self.network
        return lambda noisy, timestep, text: network(noisy.squeeze(2), timestep, text).sample.unsqueeze(2)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips, SHEET_GUIDANCE)
        generators = restart(clips.seeds)
        noise = sampler.noise((3, 1, LOW_SIZE[1], LOW_SIZE[0]), generators)
        return clips.draw(frame_times(0, 1), LOW_SIZE), sampler.run(self._call(), noise, text, generators)


class Keyframes(KeyframesTask):
    """Every fourth frame of a clip."""

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        clean = clips.draw(frame_times(0, self.config.frames, KEYFRAME_EVERY), LOW_SIZE)
        return clean, self.sampler().predict

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips, SHEET_GUIDANCE)
        drawn = clips.draw(frame_times(0, self.config.frames, KEYFRAME_EVERY), LOW_SIZE)
        return drawn, sample_keyframes(sampler, text, self.config.frames, LOW_SIZE, clips.seeds)


class Interpolation(DenoisingTask):
    """The frames from one keyframe to the next."""

    component = "interpolation_unet"

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        pairs = (CLIP_FRAMES - 1) // KEYFRAME_EVERY
        starts = torch.randint(pairs, (len(clips.seeds), 1), generator=generator) * KEYFRAME_EVERY
        clean = clips.draw(frame_times(0, KEYFRAME_EVERY + 1) + starts / FPS, LOW_SIZE)
        ends = clean[:, :, [0, -1]]
        ends = ends + self.config.condition_noise * self.noise_like(ends, generator)
        condition = blend_condition(ends[:, :, 0], ends[:, :, 1], clean.shape[2])
        return clean, interpolation_call(self.sampler(), condition)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        drawn = clips.draw(frame_times(0, 2 * KEYFRAME_EVERY + 1), LOW_SIZE)
        return drawn, sample_interpolation(sampler, text, drawn[:, :, ::KEYFRAME_EVERY], KEYFRAME_EVERY - 1, clips.seeds)


class Upscaler(DenoisingTask):
    """What both pixel upscalers share: a window of a clip, large and enlarged-and-noised."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.noising = DDPMScheduler(beta_schedule="squaredcos_cap_v2")

    def views(self, clips: Clips, times: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clean pictures, their noised low-resolution condition (both [B, 3, F, h, w]) and its noise level [B]."""
        window = random_crop(PIXEL_SIZE, self.config.crop, 8, generator)
        clean = clips.draw(times, PIXEL_SIZE, window)
        enlarged = cut(enlarge(clips.draw(times, LOW_SIZE), SCALE), window)
        levels = torch.randint(self.config.max_noise_level + 1, (len(clips.seeds),), generator=generator).to(self.device)
        return clean, self.noising.add_noise(enlarged, self.noise_like(enlarged, generator), levels), levels

    def export(self, folder: Path) -> None:
        super().export(folder)
        self.noising.save_pretrained(folder / self.component.replace("_unet", "_noising_scheduler"))


class FirstFrame(Upscaler):
    """Single pictures, 64 x 40 -> 256 x 160."""

    component = "first_frame_unet"

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        times = torch.rand(len(clips.seeds), 1, generator=generator) * frame_times(CLIP_FRAMES - 1, 1)
        clean, condition, levels = self.views(clips, times, generator)
        return clean, first_frame_call(self.sampler(), condition, levels)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        low = clips.draw(frame_times(0, 1), LOW_SIZE)
        return clips.draw(frame_times(0, 1), PIXEL_SIZE), sample_first_frame(sampler, self.noising, text, low, SCALE, clips.seeds)


class PixelUpscale(Upscaler):
    """Windows of neighbouring frames, 64 x 40 -> 256 x 160, led by a finished frame."""

    component = "pixel_upscale_unet"

    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        first = int(torch.randint(CLIP_FRAMES - self.config.frames + 1, (1,), generator=generator))
        clean, condition, levels = self.views(clips, frame_times(first, self.config.frames), generator)
        led = clean[:, :, :1]
        led = led + self.config.condition_noise * self.noise_like(led, generator)
        return clean, pixel_call(self.sampler(), with_first_frame(condition, led), levels)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        frames = self.config.frames
        drawn, low = (clips.draw(frame_times(0, frames), size) for size in (PIXEL_SIZE, LOW_SIZE))
        first = drawn[:, :, :1]
        made = sample_pixel_upscale(sampler, self.noising, text, low, first, SCALE, frames, frames - 1, clips.seeds)
        return drawn, made


class Latent(DenoisingTask):
    """Latents of parts of large clips; trained below `max_timestep`, the network becomes the expert that translates."""

    component = "latent_unet"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from diffusers import AutoencoderKL

        folder = start_folder(self.config, "vae", self.base)
        if folder is None:
            raise SettingsError("the latent stage trains on a VAE's latents: name its folder as `vae` in [start]")
        self.vae = load_network(AutoencoderKL, folder).requires_grad_(False).to(self.device)

    def make_text(self, folder: Path) -> TrainingText:
        return ClipText(self.config, self.world, self.base)

    @torch.no_grad()
    def example(self, clips: Clips, generator: torch.Generator) -> tuple[Tensor, Network]:
        first = int(torch.randint(CLIP_FRAMES - self.config.frames + 1, (1,), generator=generator))
        window = random_crop(FINAL_SIZE, self.config.crop, LATENT_CELL, generator)
        pictures = clips.draw(frame_times(first, self.config.frames), FINAL_SIZE, window)
        latents = latent_moments(self.vae, as_frames(pictures)).sample(generator) * self.vae.config.scaling_factor
        return as_video(latents, len(clips.seeds)), self.sampler().predict

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        sampler, text = self.sampling(clips)
        drawn, low = (clips.draw(frame_times(0, self.config.frames), size) for size in (FINAL_SIZE, PIXEL_SIZE))
        return drawn, sample_latent_upscale(sampler, self.vae, text, low, FINAL_SIZE, clips.seeds)
