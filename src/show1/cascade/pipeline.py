"""Show1Pipeline: the stages in order, as a diffusers pipeline.

Shapes: B videos (prompts x videos a prompt), F frames, H x W pixels, L text tokens, D text width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor, nn

from show1.cascade.adapters import AdapterMix, WithAdapters
from show1.cascade.call import Call, Show1Output, evaluating, read_settings
from show1.cascade.inputs import (
    Frames,
    as_output,
    check_choices,
    check_given,
    check_settings,
    choose_seeds,
    negative_list,
    prompt_list,
)
from show1.cascade.interpolation import sample_interpolation
from show1.cascade.keyframes import sample_keyframes
from show1.cascade.latent_stream import Translation, translation_windows
from show1.cascade.latent_upscale import resize, sample_latent_upscale
from show1.cascade.offloading import Offloadable
from show1.cascade.pixel_upscale import sample_first_frame, sample_pixel_upscale
from show1.cascade.settings import STAGES, CascadeSettings, SamplerSettings
from show1.cascade.sharing import Shareable
from show1.cascade.stage import Sampler, Text
from show1.cascade.thrift import Thrift
from show1.diffusion.denoise import OnStep
from show1.diffusion.windows import plan_windows
from show1.errors import PromptError
from show1.models.autoencoders import works_in_tiles
from show1.text import check_embeddings, encode_clip, encode_t5


class Show1Pipeline(WithAdapters, Shareable, Offloadable):
    """Text to video: keyframes, interpolation and upscaling in pixels, then upscaling in latents (Show-1, arXiv 2309.15818).

    Args:
        tokenizer, text_encoder: T5, read by all pixel stages.
        keyframes_unet, keyframes_scheduler: text -> keyframes.
        interpolation_unet, interpolation_scheduler: keyframes -> all frames.
        first_frame_unet, first_frame_scheduler, first_frame_noising_scheduler: image upscaler for the first frame.
        pixel_upscale_unet, pixel_upscale_scheduler, pixel_upscale_noising_scheduler: video upscaler.
        latent_tokenizer, latent_text_encoder, latent_unet, latent_scheduler, vae: expert translation.
        settings: sampling defaults, kept in `model_index.json`; the published ones where none are given.
        vocabulary: what the model was taught to draw: `objects`, `places`, `motions`, `words`; None for an open vocabulary.
        training: records of the runs that made it (`training.json`), by run, for the model card.
        licence: the weights' licence as the hub names it, e.g. `apache-2.0`, for the model card.
    """

    model_cpu_offload_seq = (
        "text_encoder->keyframes_unet->interpolation_unet->first_frame_unet->pixel_upscale_unet->latent_text_encoder->latent_unet->vae"
    )
    _optional_components = ["tokenizer", "text_encoder"]  # noqa: RUF012  # freed, or embeddings are given instead

    def __init__(
        self,
        keyframes_unet: nn.Module,
        keyframes_scheduler: Any,
        interpolation_unet: nn.Module,
        interpolation_scheduler: Any,
        first_frame_unet: nn.Module,
        first_frame_scheduler: Any,
        first_frame_noising_scheduler: Any,
        pixel_upscale_unet: nn.Module,
        pixel_upscale_scheduler: Any,
        pixel_upscale_noising_scheduler: Any,
        latent_tokenizer: Any,
        latent_text_encoder: nn.Module,
        latent_unet: nn.Module,
        latent_scheduler: Any,
        vae: nn.Module,
        tokenizer: Any = None,
        text_encoder: nn.Module | None = None,
        settings: CascadeSettings | Mapping[str, Any] | None = None,
        vocabulary: Mapping[str, Sequence[str]] | None = None,
        training: Mapping[str, Any] | None = None,
        licence: str | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            keyframes_unet=keyframes_unet,
            keyframes_scheduler=keyframes_scheduler,
            interpolation_unet=interpolation_unet,
            interpolation_scheduler=interpolation_scheduler,
            first_frame_unet=first_frame_unet,
            first_frame_scheduler=first_frame_scheduler,
            first_frame_noising_scheduler=first_frame_noising_scheduler,
            pixel_upscale_unet=pixel_upscale_unet,
            pixel_upscale_scheduler=pixel_upscale_scheduler,
            pixel_upscale_noising_scheduler=pixel_upscale_noising_scheduler,
            latent_tokenizer=latent_tokenizer,
            latent_text_encoder=latent_text_encoder,
            latent_unet=latent_unet,
            latent_scheduler=latent_scheduler,
            vae=vae,
        )
        self.settings = read_settings(settings)
        self.vocabulary = {name: list(words) for name, words in (vocabulary or {}).items()}
        self.register_to_config(
            settings=self.settings.to_dict(), vocabulary=self.vocabulary, training=dict(training or {}), licence=licence
        )
        self.adapters = AdapterMix()
        self.thrift = Thrift()

    def spare(self, thrift: Thrift) -> None:
        """Work in smaller portions from now on, or in whole ones again: memory against time."""
        self.thrift = thrift
        if works_in_tiles(self.vae):
            (self.vae.enable_tiling if thrift.tiling else self.vae.disable_tiling)()

    def compile_networks(self, **options: Any) -> Self:
        """Have torch compile each denoising network at its first call, anew for every shape it meets.

        That takes minutes for large networks, and pays where many videos of one size are made on a GPU. Results differ in the last bits.
        Call it before `.to` or offloading; networks whose layers move one by one (`enable_group_offload`) gain nothing.

        Args:
            options: of `torch.compile`, such as `mode="max-autotune"`.

        Returns:
            The pipeline, whose calls raise SettingsError where there is no compiler for its device.
        """
        from show1.cascade.compiling import compiled

        for name, network in self.components.items():
            if name.endswith("_unet") and isinstance(network, nn.Module):  # and no outline
                network.forward = compiled(name, network.forward, **options)
        return self

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path | None = None, **options: Any) -> Show1Pipeline:
        """Load a pipeline's folder; see `show1.cascade.folder.load_pipeline`."""
        from show1.cascade.folder import load_pipeline

        return load_pipeline(cls, pretrained_model_name_or_path, **options)

    @classmethod
    def from_published(cls, **options: Any) -> Show1Pipeline:
        """Load the five published checkpoints; see `show1.cascade.published.load_published`."""
        from show1.cascade.published import load_published

        return load_published(cls, **options)

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of a prompt that the model was never taught, in order; none for an open vocabulary."""
        if not self.vocabulary.get("words"):
            return []
        known = set(self.vocabulary["words"])
        words = "".join(c if c.isalnum() or c in "'-" else " " for c in prompt.lower()).split()
        return list(dict.fromkeys(word for word in words if word not in known))

    @torch.no_grad()
    def encode_prompt(
        self, prompts: Sequence[str], negative_prompts: Sequence[str], *, clean_caption: bool = True, max_text_tokens: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """T5 embeddings of prompts and negative prompts, each [B, L, D]; L is `max_text_tokens`, or the settings' where not given.

        Raises:
            PromptError: there is no text encoder.
        """
        length = max_text_tokens or self.settings.max_text_tokens
        with self.text_encoder_at_hand():
            if self.text_encoder is None or self.tokenizer is None:
                raise PromptError("this pipeline has no text encoder: pass prompt_embeds and negative_prompt_embeds")
            both = encode_t5(self.tokenizer, self.text_encoder, [*prompts, *negative_prompts], length, clean=clean_caption)
        positive, negative = both.split([len(prompts), len(negative_prompts)])
        return positive, negative

    @torch.no_grad()
    def encode_latent_prompt(self, prompts: Sequence[str], negative_prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """CLIP embeddings for the latent stage, each [B, L, D]."""
        both = encode_clip(self.latent_tokenizer, self.latent_text_encoder, [*prompts, *negative_prompts])
        self.maybe_free_model_hooks()
        positive, negative = both.chunk(2)
        return positive, negative

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        seed: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_videos_per_prompt: int = 1,
        image: Image.Image | None = None,
        given: Mapping[str, Tensor] | None = None,
        stop_after: str = "latent",
        num_inference_steps: int | Mapping[str, int] | None = None,
        guidance_scale: float | Mapping[str, float] | None = None,
        settings: CascadeSettings | Mapping[str, Any] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        latent_prompt_embeds: Tensor | None = None,
        latent_negative_prompt_embeds: Tensor | None = None,
        clean_caption: bool = True,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Tensor, dict[str, Any]], dict[str, Any] | None] | None = None,
    ) -> Show1Output | tuple[Frames]:
        """Make videos.

        Args:
            prompt: one or several; None where all embeddings are given.
            negative_prompt: what to avoid, for all prompts or one for each. Without it the pixel stages avoid nothing
                and the latent stage avoids `settings.latent_negative_prompt`.
            seed: video k is made with seed + k; a random seed where neither seed nor generator is given.
            generator: one for all (its initial seed counts as `seed`), or one a video.
            num_videos_per_prompt: videos of each prompt.
            image: the first frame of every video, cut to the video's proportions: keyframes are made with it held, and
                the pixel stage starts from it instead of from an upscaled first frame.
            given: videos [B, 3, F, H, W] in [-1, 1] of a finished stage, by its name; that stage and those before it are not run.
            stop_after: last stage to run: keyframes, interpolation, pixel or latent.
            num_inference_steps: for all samplers, or by name (keyframes, interpolation, first_frame, pixel, latent).
            guidance_scale: likewise.
            settings: in place of the pipeline's own.
            prompt_embeds, negative_prompt_embeds: T5 embeddings [prompts, L, D] in place of text.
            latent_prompt_embeds, latent_negative_prompt_embeds: CLIP embeddings [prompts, L, D] likewise.
            clean_caption: clean prompts as DeepFloyd IF does before T5 reads them; else they are only lower-cased.
            output_type: `pil`, `np` or `pt`, see `Show1Output.frames`.
            return_dict: False gives a tuple of the frames alone.
            callback_on_step_end: called with (pipeline, step, timestep, {"latents", "stage"}) after each denoising step;
                "latents" of what it returns goes on.

        Raises:
            PromptError, SettingsError: what is wrong, with which value, and the way out.
        """
        check_choices(stop_after, output_type, num_videos_per_prompt)
        chosen = self.settings if settings is None else read_settings(settings)
        chosen = chosen.with_samplers("steps", num_inference_steps).with_samplers("guidance", guidance_scale)
        check_settings(chosen, self.components, stop_after)
        prompts = prompt_list(prompt, prompt_embeds)
        negatives = negative_list(negative_prompt, len(prompts))
        seeds = choose_seeds(seed, generator, len(prompts) * num_videos_per_prompt)
        call = Call(chosen, seeds, self._step_callbacks(callback_on_step_end), self._execution_device, image)
        counts = (len(prompts), num_videos_per_prompt)
        with evaluating(self.components.values()):
            config = self.keyframes_unet.config
            encode = partial(self.encode_prompt, prompts, negatives, clean_caption=clean_caption, max_text_tokens=chosen.max_text_tokens)
            own = (prompt_embeds, negative_prompt_embeds)
            text = None  # where all pixel stages are given, nothing reads T5, which may be large
            if "pixel" not in (given or {}):
                text = self._text("", config.encoder_hid_dim or config.cross_attention_dim, own, encode, *counts).to(call.device)
            latent_text = None
            if stop_after == "latent":
                avoided = negatives if negative_prompt is not None else [chosen.latent_negative_prompt] * len(prompts)
                encode = partial(self.encode_latent_prompt, prompts, avoided)
                own = (latent_prompt_embeds, latent_negative_prompt_embeds)
                latent_text = self._text("latent_", self.latent_unet.config.cross_attention_dim, own, encode, *counts).to(call.device)
            output = self._run(call, text, latent_text, check_given(given or {}, stop_after, len(seeds)), stop_after)
        output.frames = as_output(list(output.stages().values())[-1], output_type)
        return output if return_dict else (output.frames,)

    def _run(self, call: Call, text: Text | None, latent_text: Text | None, given: Mapping[str, Tensor], stop_after: str) -> Show1Output:
        """The stages in order, from the one after the last that is given."""
        output = Show1Output(frames=[], seeds=call.seeds)
        makers: dict[str, tuple[str, Callable[[], Tensor]]] = {
            "keyframes": ("keyframes", lambda: self._keyframes(call, text)),
            "interpolation": ("interpolated", lambda: self._interpolated(call, text, output.keyframes)),
            "pixel": ("pixel_upscaled", lambda: self._pixel_upscaled(call, text, output)),
            "latent": ("latent_upscaled", lambda: self._latent_upscaled(call, latent_text, output.pixel_upscaled)),
        }
        first = max((STAGES.index(stage) + 1 for stage in given), default=0)
        for stage, video in given.items():
            setattr(output, makers[stage][0], video.to(call.device))
        for stage in STAGES[first : STAGES.index(stop_after) + 1]:
            name, make = makers[stage]
            started = time.perf_counter()
            try:
                setattr(output, name, make())
            finally:  # nothing of this stage stays on the device beside the next, or after a stop
                self.maybe_free_model_hooks()
            output.seconds[stage] = time.perf_counter() - started
        return output

    def _sampler(self, call: Call, component: str, settings: SamplerSettings) -> Sampler:
        unet, scheduler = getattr(self, f"{component}_unet"), getattr(self, f"{component}_scheduler")
        apart = component.removesuffix("_upscale") in self.thrift.apart
        return Sampler(unet, scheduler, settings, call.device, apart)

    def _keyframes(self, call: Call, text: Text | None) -> Tensor:
        assert text is not None
        s = call.settings
        sampler = self._sampler(call, "keyframes", s.keyframes)
        on_step = call.on_step("keyframes", s.keyframes.steps)
        windows = {"window": s.keyframe_window, "stride": s.keyframe_stride}
        first = call.first_frame("keyframes")
        return sample_keyframes(sampler, text, s.num_keyframes, s.keyframe_size, call.seeds, on_step, first=first, **windows)

    def _interpolated(self, call: Call, text: Text | None, keyframes: Tensor | None) -> Tensor:
        assert keyframes is not None and text is not None
        s = call.settings
        sampler = self._sampler(call, "interpolation", s.interpolation)
        windows = (keyframes.shape[2] - 1) * len(call.seeds)
        batches = -(-windows // (self.thrift.windows or windows or 1))
        on_step = call.on_step("interpolation", s.interpolation.steps * batches)
        return sample_interpolation(sampler, text, keyframes, s.between, call.seeds, on_step, at_a_time=self.thrift.windows)

    def _pixel_upscaled(self, call: Call, text: Text | None, output: Show1Output) -> Tensor:
        low, s = output.interpolated, call.settings
        assert low is not None and text is not None
        first = call.first_frame("pixel")
        if first is None:
            sampler = self._sampler(call, "first_frame", s.first_frame)
            on_step = call.on_step("first_frame", s.first_frame.steps)
            noising = self.first_frame_noising_scheduler
            first = sample_first_frame(sampler, noising, text, low[:, :, :1], s.pixel_scale, call.seeds, on_step)
        output.first_frame = first
        sampler = self._sampler(call, "pixel_upscale", s.pixel)
        windows = len(plan_windows(low.shape[2], s.window, s.stride))
        on_step = call.on_step("pixel", s.pixel.steps * windows)
        noising = self.pixel_upscale_noising_scheduler
        return sample_pixel_upscale(sampler, noising, text, low, first, s.pixel_scale, s.window, s.stride, call.seeds, on_step)

    def _latent_upscaled(self, call: Call, text: Text | None, video: Tensor | None) -> Tensor:
        assert video is not None and text is not None
        s = call.settings
        sampler = self._sampler(call, "latent", s.latent)
        frames = video.shape[2]
        if frames <= s.latent_window:
            on_step = call.on_step("latent", s.latent.steps_run())
            return sample_latent_upscale(sampler, self.vae, text, video, s.final_size, call.seeds, on_step)
        windows = len(translation_windows(frames, s.latent_window, s.latent_overlap))
        on_step = call.on_step("latent", s.latent.steps_run() * windows * len(call.seeds))
        made = []
        for one, seed, own in zip(resize(video, s.final_size).split(1), call.seeds, text.of_each(), strict=True):
            translate = Translation(sampler, self.vae, own, seed, s.latent_window, s.latent_overlap, lambda number: on_step)
            made.append(torch.stack(list(translate(one.unbind(2))), dim=2))
        return torch.cat(made)

    def _step_callbacks(self, callback: Any) -> Callable[[str, int], OnStep]:
        """Progress bars, and the caller's callback, for each stage."""

        def for_stage(stage: str, steps: int) -> OnStep:
            bars: list[Any] = []  # made at the first step: a stage with nothing to do shows none

            def on_step(index: int, timestep: Tensor, sample: Tensor) -> Tensor:
                if not bars:
                    bars.append(self.progress_bar(total=steps))
                    bars[0].set_description(stage)
                bars[0].update()
                if bars[0].n >= steps:
                    bars[0].close()
                if callback is None:
                    return sample
                changed = callback(self, index, timestep, {"latents": sample, "stage": stage}) or {}
                return changed.get("latents", sample)

            return on_step

        return for_stage

    def _text(
        self,
        prefix: str,
        width: int,
        given: tuple[Tensor | None, Tensor | None],
        encode: Callable[[], tuple[Tensor, Tensor]],
        prompts: int,
        videos: int,
    ) -> Text:
        """Text of every video, from the embeddings given, or from `encode` where one is not given; both are checked.

        `prefix` goes before the arguments' names in errors.
        """
        made = encode() if any(embeddings is None for embeddings in given) else (None, None)
        texts = []
        for name, own, encoded in zip(("prompt_embeds", "negative_prompt_embeds"), given, made, strict=True):
            embeddings = encoded if own is None else own
            assert embeddings is not None
            check_embeddings(prefix + name, embeddings, prompts, width)
            texts.append(embeddings.to(self.keyframes_unet.dtype).repeat_interleave(videos, 0))
        if texts[0].shape != texts[1].shape:
            lengths = f"{texts[0].shape[1]} and {texts[1].shape[1]} tokens"
            raise PromptError(f"{prefix}prompt_embeds and {prefix}negative_prompt_embeds differ in length: {lengths}")
        return Text(*texts)


Show1Pipeline.__module__ = "show1"  # what saved pipelines name: it outlives moves of this file
