"""What a run is asked for, and which stage depends on which part of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from PIL import Image

from show1.cascade.inputs import check_settings, choose_seeds, upright
from show1.cascade.settings import SAMPLERS, STAGES, CascadeSettings
from show1.errors import DataError, SettingsError
from show1.text import check_prompt
from show1.video import ENDINGS

Numbers = Mapping[str, Any] | float | None
"""A number for all samplers, a number for each sampler named, or none."""

OWN_SETTINGS: dict[str, tuple[str, ...]] = {
    "keyframes": ("keyframes", "num_keyframes", "keyframe_size", "keyframe_window", "keyframe_stride", "max_text_tokens"),
    "interpolation": ("interpolation", "between"),
    "pixel": ("first_frame", "pixel", "pixel_scale", "window", "stride"),
    "latent": ("latent", "final_size", "latent_window", "latent_overlap", "latent_negative_prompt"),
}
"""The settings that a stage reads; a stage also depends on all stages before it."""

OWN_COMPONENTS: dict[str, tuple[str, ...]] = {
    "keyframes": ("tokenizer", "text_encoder", "keyframes_unet", "keyframes_scheduler"),
    "interpolation": ("interpolation_unet", "interpolation_scheduler"),
    "pixel": (
        "first_frame_unet",
        "first_frame_scheduler",
        "first_frame_noising_scheduler",
        "pixel_upscale_unet",
        "pixel_upscale_scheduler",
        "pixel_upscale_noising_scheduler",
    ),
    "latent": ("latent_tokenizer", "latent_text_encoder", "latent_unet", "latent_scheduler", "vae"),
}


def _table(name: str, numbers: Numbers) -> dict[str, Any]:
    """Numbers as a table of samplers; checked when the settings are made."""
    if numbers is None:
        return {}
    return dict(numbers) if isinstance(numbers, Mapping) else dict.fromkeys(SAMPLERS, numbers)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one video is to be. Everything that the result follows from, besides the model's weights, is in here."""

    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    """Random where not given; a run's folder always holds a number."""
    model: str = "bundled"
    """How the caller names the model: `bundled`, `published`, a folder or a hub id."""
    adapters: Mapping[str, float] = field(default_factory=dict)
    """Folders of adapters that change the model, each with its weight."""
    stop_after: str = "latent"
    settings: Mapping[str, Any] | None = None
    """A whole cascade's settings as plain values; the model's own where None (fixed when the run first goes on)."""
    steps: Numbers = None
    """Denoising steps in place of the settings'."""
    guidance: Numbers = None
    """Guidance scales likewise."""
    frames: int | None = None
    """Frames of the video, one more than a multiple of `between + 1`; the settings' number where None."""
    image: str | None = None
    """A given first frame: its file within the run's folder, whose name follows from the picture."""
    ending: str = ".mp4"
    """Format of the video: .mp4, .webm or .gif."""
    output: str | None = None
    """Where a copy of the finished video goes, relative to the run's folder; nowhere else where None."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", check_prompt(self.prompt))  # control characters go
        if self.negative_prompt is not None:
            object.__setattr__(self, "negative_prompt", check_prompt(self.negative_prompt))
        if self.stop_after not in STAGES:
            raise SettingsError(f"cannot stop after '{self.stop_after}'; stages: {', '.join(STAGES)}")
        if self.ending.lower() not in ENDINGS:
            raise SettingsError(f"cannot write a video with the ending '{self.ending}'; known: {', '.join(ENDINGS)}")
        if self.seed is not None:
            choose_seeds(self.seed, None, 1)
        if self.settings is not None:
            self.cascade(None)  # refused at once where it cannot work

    def with_seed(self) -> Request:
        """A copy whose seed is a number."""
        return self if self.seed is not None else replace(self, seed=choose_seeds(None, None, 1)[0])

    def changed(self, **changes: Any) -> Request:
        """A copy with some parts changed; steps and guidance of single samplers are added to those given before."""
        for name in ("steps", "guidance"):
            if changes.get(name) is not None:
                changes[name] = {**_table(name, getattr(self, name)), **_table(name, changes[name])}
        return replace(self, **changes)

    def cascade(self, own: CascadeSettings | None) -> CascadeSettings:
        """The settings that follow: the request's or else the model's `own`, with steps, guidance and frames put in.

        Raises:
            SettingsError: a value that cannot work.
        """
        base = own if self.settings is None else CascadeSettings.from_dict(self.settings)
        assert base is not None
        changed = base.with_samplers("steps", self.steps).with_samplers("guidance", self.guidance)
        return changed if self.frames is None else changed.with_frames(self.frames)

    def check(self, pipeline: Any) -> CascadeSettings:
        """The settings that follow with a pipeline.

        Raises:
            SettingsError: they cannot work with it.
        """
        settings = self.cascade(pipeline.settings)
        check_settings(settings, pipeline.components, self.stop_after)
        return settings

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """From plain values.

        Raises:
            DataError: a name that is no part of a request, or no prompt.
        """
        known = [f.name for f in fields(cls)]
        unknown = [name for name in values if name not in known]
        if unknown or "prompt" not in values:
            raise DataError(f"no request for a video: {'no prompt' if not unknown else 'unknown ' + ', '.join(unknown)}")
        return cls(**values)


def image_name(image: Image.Image) -> str:
    """Name of a given first frame's file: another picture has another name."""
    pixels = upright(image)
    return f"image-{hashlib.sha256(f'{pixels.size}'.encode() + pixels.tobytes()).hexdigest()[:16]}.png"


def stage_keys(request: Request, settings: CascadeSettings, prints: Mapping[str, str]) -> dict[str, str]:
    """A key for each stage: it changes exactly when something that the stage's video depends on does.

    Args:
        prints: fingerprint of every component of the pipeline; keys end before the first stage whose are not all there.
    """
    values = settings.to_dict()
    before: Any = [request.prompt, request.negative_prompt, request.seed, request.image]
    before += [dict(request.adapters)] if request.adapters else []
    keys = {}
    for stage in STAGES:
        if not set(OWN_COMPONENTS[stage]) <= set(prints):
            break
        parts = [before, {n: values[n] for n in OWN_SETTINGS[stage]}, {n: prints[n] for n in OWN_COMPONENTS[stage]}]
        before = keys[stage] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return keys
