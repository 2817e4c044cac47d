"""How far the recogniser itself can be trusted, and what rendered clips look like: kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from show1.cascade.settings import PUBLISHED
from show1.errors import CheckpointError
from show1.evaluation.prompts import Asked, world_prompts
from show1.evaluation.statistics import drift, flicker, moments, sharpness
from show1.models.loading import load_network
from show1.models.recogniser import Recogniser
from show1.worlds.emoji import EmojiWorld

BUNDLED = Path(__file__).resolve().parent / "recogniser"
STAGE_SIZES = PUBLISHED.stage_sizes()
"""(width, height) of each stage's videos in the published cascade, and in the bundled one."""
RECORD, MOMENTS = "reference.json", "reference.safetensors"

Progress = Callable[[], None]


def keyframe_times() -> Tensor:
    """Seconds of the frames that the recogniser reads."""
    return torch.tensor(PUBLISHED.frame_times()[:: PUBLISHED.between + 1])


def drawn(world: EmojiWorld, asked: Asked, size: tuple[int, int], times: Tensor) -> Tensor:
    """What was asked for, rendered at `size` (width, height) and `times` (seconds): [1, 3, F, H, W]."""
    assert asked.scene is not None
    width, height = size
    return world.render([asked.scene], [asked.seed], times=times, width=width, height=height)


def looks(video: Tensor) -> dict[str, float]:
    """Sharpness, flicker and drift of one video [1, 3, F, H, W]."""
    return {"sharpness": float(sharpness(video)), "flicker": float(flicker(video)), "drift": float(drift(video))}


@dataclass(frozen=True)
class Reference:
    """What the recogniser makes of fresh rendered clips."""

    samples: int
    """Clips."""
    right: Mapping[str, Mapping[str, int]]
    """Stage -> attribute -> clips (drawn at that stage's size) that were read right."""
    looks: Mapping[str, Mapping[str, float]]
    """Stage -> sharpness, flicker and drift, means over the clips."""
    moments: Mapping[str, Tensor]
    """Stage -> moments of the features, [D + 1, D]."""

    def save(self, folder: Path) -> None:
        """Write the record beside the recogniser's weights."""
        record = {"samples": self.samples, "right": self.right, "looks": self.looks}
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        save_file({stage: values.float().contiguous() for stage, values in self.moments.items()}, folder / MOMENTS)

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read the record beside a recogniser's weights.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        try:
            record = json.loads((folder / RECORD).read_text())
            return cls(record["samples"], record["right"], record["looks"], load_file(folder / MOMENTS))
        except Exception as error:
            raise CheckpointError(
                f"the recogniser in '{folder}' has no usable record of its own accuracy ({error}); make it with `show1 evaluate recogniser`"
            ) from error


def load_recogniser(folder: Path | None = None, device: str | torch.device = "cpu") -> Recogniser:
    """The recogniser in a folder; the one that comes with the package where none is named."""
    return load_network(Recogniser, folder or BUNDLED).eval().to(device)


@torch.no_grad()
def measure_reference(recogniser: Recogniser, world: EmojiWorld, samples: int, seed: int, progress: Progress) -> Reference:
    """Read fresh clips of held-out combinations, drawn at every stage's size; `progress` is called after each clip."""
    asked = world_prompts(recogniser.labels, "held-out", samples, seed)
    right = {stage: dict.fromkeys(recogniser.labels, 0) for stage in STAGE_SIZES}
    features: dict[str, list[Tensor]] = {stage: [] for stage in STAGE_SIZES}
    sums = {stage: {"sharpness": 0.0, "flicker": 0.0, "drift": 0.0} for stage in STAGE_SIZES}
    for one in asked:
        for stage, size in STAGE_SIZES.items():
            keyframes = drawn(world, one, size, keyframe_times())
            seen = recogniser.features(keyframes)
            features[stage].append(seen)
            read = recogniser.name(recogniser.classify(seen))[0]
            for name in right[stage]:
                right[stage][name] += read[name] == one.wanted[name]
            measured = looks(keyframes)
            if stage != "keyframes":  # flicker is told from frames that follow each other
                measured["flicker"] = looks(drawn(world, one, size, 1.5 + torch.arange(3) / PUBLISHED.fps))["flicker"]
            for name, value in measured.items():
                sums[stage][name] += value / samples
        progress()
    return Reference(samples, right, sums, {stage: moments(torch.cat(values)) for stage, values in features.items()})
