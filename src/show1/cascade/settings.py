"""Sampling settings of every stage; the published defaults in one table, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from show1.errors import SettingsError

STAGES = ("keyframes", "interpolation", "pixel", "latent")
"""The stages a user can stop after; `first_frame` is the image upscaler inside `pixel`."""

SAMPLERS = ("keyframes", "interpolation", "first_frame", "pixel", "latent")
"""Everything that denoises, in order."""

LEAST = {
    "num_keyframes": 1,
    "between": 0,
    "pixel_scale": 1,
    "window": 2,
    "stride": 1,
    "keyframe_window": 2,
    "keyframe_stride": 1,
    "latent_window": 2,
    "latent_overlap": 1,
    "max_text_tokens": 1,
}
"""The smallest value of settings that count something."""


def _known(cls: type, values: Any, where: str = "") -> dict[str, Any]:
    """The values as keyword arguments of a settings class, or a SettingsError that names the one it does not have."""
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where}settings must be names with values, not {values!r}")
    known = [f.name for f in fields(cls)]
    for name in values:
        if name not in known:
            raise SettingsError(f"{where}unknown setting '{name}'; known: {', '.join(sorted(known))}")
    return dict(values)


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How one network samples."""

    steps: int
    """Denoising steps."""
    guidance: float
    """Classifier-free guidance scale; 1 leaves guidance out."""
    noise_level: int | None = None
    """Noise put on an upscaler's condition, as a training timestep 0..999."""
    strength: float | None = None
    """Share of the noise schedule the latent stage runs through (SDEdit), 0..1."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise SettingsError(f"steps is {self.steps}; use 1 to 1000")
        if not 0.0 <= self.guidance <= 100.0:
            raise SettingsError(f"guidance is {self.guidance}; use 0 to 100 (1 leaves guidance out)")
        if self.noise_level is not None and not 0 <= self.noise_level <= 999:
            raise SettingsError(f"noise_level is {self.noise_level}; use 0 to 999")
        if self.strength is not None and not 0.0 < self.strength <= 1.0:
            raise SettingsError(f"strength is {self.strength}; use a number above 0 and at most 1")

    def steps_run(self) -> int:
        """Steps that are really run: `strength` skips the first ones."""
        return min(int(self.steps * (1.0 if self.strength is None else self.strength)), self.steps)


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """How a whole cascade samples. Sizes are (width, height) in pixels."""

    keyframes: SamplerSettings
    interpolation: SamplerSettings
    first_frame: SamplerSettings
    pixel: SamplerSettings
    latent: SamplerSettings
    num_keyframes: int = 8
    """Keyframes a video; n keyframes make (n - 1) * (between + 1) + 1 frames."""
    between: int = 3
    """New frames between two keyframes."""
    keyframe_size: tuple[int, int] = (64, 40)
    pixel_scale: int = 4
    """How many times the pixel stage enlarges."""
    final_size: tuple[int, int] = (576, 320)
    window: int = 8
    """Frames the pixel stage upscales at a time."""
    stride: int = 7
    """Frames from one window's start to the next."""
    keyframe_window: int = 8
    """Keyframes the network denoises at a time; longer videos are denoised in overlapping windows."""
    keyframe_stride: int = 4
    """Keyframes from one such window's start to the next."""
    latent_window: int = 29
    """Frames the latent network denoises at a time; longer videos are denoised in overlapping windows."""
    latent_overlap: int = 8
    """Frames that such a window shares with the one before."""
    fps: float = 7.5
    """Frames a second of the finished video."""
    max_text_tokens: int = 77
    """Tokens of the prompt that T5 reads; shorter prompts are padded to it, longer ones cut."""
    latent_negative_prompt: str = ""
    """Negative prompt of the latent stage where the caller gives none."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; use {least} or more")
        if self.stride >= self.window:
            raise SettingsError(f"stride {self.stride} needs a window longer than {self.window}: neighbours share a frame")
        if self.keyframe_stride >= self.keyframe_window:
            raise SettingsError(f"keyframe_stride {self.keyframe_stride} needs a keyframe_window longer than {self.keyframe_window}")
        if 2 * self.latent_overlap > self.latent_window:
            raise SettingsError(f"latent_overlap is {self.latent_overlap}; use at most half of latent_window {self.latent_window}")
        if not 0.0 < self.fps <= 240.0:
            raise SettingsError(f"fps is {self.fps}; use a number above 0 and at most 240")

    def stage_sizes(self) -> dict[str, tuple[int, int]]:
        """(width, height) of every stage's videos."""
        width, height = self.keyframe_size
        upscaled = (width * self.pixel_scale, height * self.pixel_scale)
        return dict(zip(STAGES, (self.keyframe_size, self.keyframe_size, upscaled, self.final_size), strict=True))

    def frame_times(self) -> list[float]:
        """Seconds of every frame of a finished video; each `between + 1`-th is a keyframe."""
        return [frame / self.fps for frame in range((self.num_keyframes - 1) * (self.between + 1) + 1)]

    def with_frames(self, frames: int) -> CascadeSettings:
        """A copy that makes so many frames.

        Raises:
            SettingsError: keyframes `between + 1` apart do not end on the last one; the nearest numbers are named.
        """
        apart = self.between + 1
        if frames < 1 or (frames - 1) % apart:
            lower = max(1, frames - (frames - 1) % apart)
            raise SettingsError(f"{frames} frames cannot be made of keyframes {apart} frames apart; use {lower} or {lower + apart}")
        return replace(self, num_keyframes=(frames - 1) // apart + 1)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a config file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CascadeSettings:
        """From plain values; unknown names are an error.

        Raises:
            SettingsError: a name that is not a setting.
        """
        parts: dict[str, Any] = {}
        for name, value in _known(cls, values).items():
            if name in SAMPLERS:
                parts[name] = SamplerSettings(**_known(SamplerSettings, value, f"{name}: "))
            else:
                parts[name] = tuple(value) if isinstance(value, list) else value
        return cls(**parts)

    def with_samplers(self, name: str, value: float | Mapping[str, float] | None) -> CascadeSettings:
        """A copy with `steps` or `guidance` changed: one number for all samplers, or a number for each sampler named."""
        if value is None:
            return self
        changes = dict(value) if isinstance(value, Mapping) else dict.fromkeys(SAMPLERS, value)
        for sampler in changes:
            if sampler not in SAMPLERS:
                raise SettingsError(f"{name} given for unknown stage '{sampler}'; known: {', '.join(SAMPLERS)}")
        parts: dict[str, Any] = {s: replace(getattr(self, s), **{name: v}) for s, v in changes.items()}
        return replace(self, **parts)


PUBLISHED = CascadeSettings(
    # steps, guidance and noise levels: the authors' run_inference.py; guidance of the latent stage: the default of
    # diffusers' VideoToVideoSDPipeline, which that script relies on; sizes and rates: paper, section 4.1, and the script.
    keyframes=SamplerSettings(steps=75, guidance=9.0),
    interpolation=SamplerSettings(steps=75, guidance=4.0),
    first_frame=SamplerSettings(steps=70, guidance=4.0, noise_level=150),
    pixel=SamplerSettings(steps=125, guidance=7.0, noise_level=250),
    latent=SamplerSettings(steps=50, guidance=15.0, strength=0.8),
    latent_negative_prompt="low resolution, blur",
)
