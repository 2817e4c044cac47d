"""How far a run is: passes through the networks, weighted by the multiplications that they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from show1.cascade.latent_stream import translation_windows
from show1.cascade.settings import CascadeSettings, SamplerSettings
from show1.diffusion.windows import plan_windows

WRITING = "video"
"""What `Progress.stage` says while the video file is written."""
WRITING_SHARE = 0.005


class StopStageError(Exception):
    """Raised inside a stage when it is asked to stop."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    stage: str
    """keyframes, interpolation, pixel, latent or video."""
    step: int
    """Passes through the stage's networks so far (a VAE passes once a frame)."""
    steps: int
    """Passes that the stage takes."""
    stage_fraction: float
    """How much of the stage's cost is spent, 0..1."""
    fraction: float
    """How much of the whole run's cost is spent, 0..1; it never goes back."""


@dataclass(frozen=True)
class Part:
    """What one network does within a stage."""

    network: nn.Module
    passes: int
    positions: int
    """Pixels (of a latent network latents) at its finest level, over all passes."""
    finer: int = 1
    """Positions at the finest level for each that goes in."""

    @cached_property
    def each(self) -> float:
        """What one position costs."""
        return multiplications(self.network)

    def cost(self, positions: float) -> float:
        """What so many positions cost."""
        return self.each * positions


_LEVEL = re.compile(r"(down|up)_blocks\.(\d+)\.")
_ONCE = re.compile(r"emb|add_[kv]|attn2\.to_[kv]")
"""Weights that meet times and words, not positions."""


def multiplications(network: nn.Module) -> float:
    """How often weights are multiplied for each position at the finest level of a U-Net, of an encoder or of a decoder.

    Every weight meets every position of its own level, of which each next one has a quarter. What attention multiplies besides
    its weights is left out. On the bundled model this gives the stages 19, 11, 21 and 50 percent of a run where they took
    21, 16, 20 and 44 percent of its time.
    """
    weights = [(name, weight) for name, weight in network.named_parameters() if weight.ndim > 1 and not _ONCE.search(name)]
    if isinstance(layers := getattr(network, "layers", None), nn.Sequential):
        levels = _levels_in_turn(layers)
        return sum(weight.numel() / 4 ** levels[int(name.split(".")[1])] for name, weight in weights)
    deepest = max((int(found[2]) for name, _ in weights if (found := _LEVEL.match(name))), default=0)
    coarse = ["mid_block"]
    coarse += [end for end, blocks in (("conv_in", "down_blocks"), ("conv_out", "up_blocks")) if not hasattr(network, blocks)]
    return sum(weight.numel() / 4 ** _level(name, deepest, tuple(coarse)) for name, weight in weights)


def _levels_in_turn(layers: nn.Sequential) -> list[int]:
    """The level at which each of a plain row of layers computes (the small kind of VAE), 0 for the finest."""
    levels, level = [], 0
    for layer in layers:
        level += int(isinstance(layer, nn.Conv2d) and layer.stride[0] > 1) - int(isinstance(layer, nn.Upsample))
        levels.append(level)
    return [level - min(levels) for level in levels]


def _level(name: str, deepest: int, coarse: tuple[str, ...]) -> int:
    """The level of a weight, 0 for the finest."""
    found = _LEVEL.match(name)
    if found:
        return int(found[2]) if found[1] == "down" else deepest - int(found[2])
    return deepest if name.startswith(coarse) else 0


def stage_parts(pipeline: Any, settings: CascadeSettings, has_image: bool = False) -> dict[str, list[Part]]:
    """The networks of each stage with the passes they will make; a given first frame is not upscaled."""
    sizes = {stage: width * height for stage, (width, height) in settings.stage_sizes().items()}
    frames = len(settings.frame_times())
    pairs = settings.num_keyframes - 1 if settings.between else 0
    windows = plan_windows(frames, settings.window, settings.stride)
    shrink = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    latents = sizes["latent"] // shrink**2
    keyframes = plan_windows(settings.num_keyframes, settings.keyframe_window, settings.keyframe_stride)
    translated = translation_windows(frames, settings.latent_window, settings.latent_overlap)

    def part(name: str, sampler: SamplerSettings, frames: int, size: int, calls: int = 1) -> Part:
        steps = sampler.steps_run()
        return Part(getattr(pipeline, f"{name}_unet"), steps * calls, steps * frames * size * (2 if sampler.guidance > 1 else 1))

    return {
        "keyframes": [part("keyframes", settings.keyframes, sum(w.stop - w.start for w in keyframes), sizes["keyframes"], len(keyframes))],
        "interpolation": [
            part("interpolation", settings.interpolation, pairs * (settings.between + 2), sizes["interpolation"], min(pairs, 1))
        ],
        "pixel": [
            part("first_frame", settings.first_frame, int(not has_image), sizes["pixel"], int(not has_image)),
            part("pixel_upscale", settings.pixel, sum(w.stop - w.start for w in windows), sizes["pixel"], len(windows)),
        ],
        "latent": [
            Part(pipeline.vae.encoder, frames, frames * sizes["latent"]),
            part("latent", settings.latent, sum(translated), latents, len(translated)),
            Part(pipeline.vae.decoder, frames, frames * sizes["latent"], finer=shrink**2),
        ],
    }


class Meter:
    """Watches the networks of a run's stages at work.

    Args:
        parts: from `stage_parts`, of the stages that will be run.
        report: called with a `Progress` after every pass.
        should_stop: asked after every pass; the stage is left with `StopStageError` where it says yes.
    """

    def __init__(
        self,
        parts: Mapping[str, list[Part]],
        report: Callable[[Progress], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.parts, self.report, self.should_stop = parts, report or (lambda progress: None), should_stop or (lambda: False)
        self.costs = {stage: sum(part.cost(part.positions) for part in of_stage) for stage, of_stage in parts.items()}
        self.whole = sum(self.costs.values()) * (1 + WRITING_SHARE) or 1.0
        self.done = 0.0  # cost of the finished stages

    def skip(self, stage: str) -> None:
        """Count a stage as done."""
        self.done += self.costs[stage]

    @contextmanager
    def watching(self, stage: str) -> Iterator[None]:
        """Report every pass that the stage's networks make inside."""
        steps, spent, step = sum(part.passes for part in self.parts[stage]), 0.0, 0

        def tell() -> None:
            share = min(spent / self.costs[stage], 1.0) if self.costs[stage] else 1.0
            fraction = (self.done + share * self.costs[stage]) / self.whole
            self.report(Progress(stage, min(step, steps), steps, share, fraction))
            if self.should_stop():
                raise StopStageError

        def hook(part: Part) -> Callable[..., None]:
            cost = part.cost(part.finer)

            def passed(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
                nonlocal spent, step
                noisy: Tensor = inputs[0]
                step += 1
                spent += cost * noisy.numel() / noisy.shape[1]
                tell()

            return passed

        with ExitStack() as hooks:
            for part in self.parts[stage]:
                hooks.callback(part.network.register_forward_hook(hook(part)).remove)
            tell()
            yield
        self.skip(stage)
        self.report(Progress(stage, steps, steps, 1.0, self.done / self.whole))

    def writing(self, fraction: float) -> None:
        """Report that the video file is being written (0) or is written (1)."""
        share = 1.0 if fraction >= 1 else sum(self.costs.values()) / self.whole
        self.report(Progress(WRITING, int(fraction >= 1), 1, fraction, share))
