"""Alignment: videos made from prompts, and what the recogniser reads off every stage of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import DataError, SettingsError
from show1.evaluation.prompts import Asked
from show1.evaluation.reference import drawn, looks
from show1.models.reading import read_json
from show1.models.recogniser import Recogniser, as_read
from show1.video import to_pil, whole_file
from show1.worlds.emoji import EmojiWorld

READINGS, MANIFEST, STRIPS = "readings.jsonl", "run.json", "strips"
STRIP_SIZE = (144, 80)
Make = Callable[[Asked], Mapping[str, Tensor]]
"""A prompt -> the videos [1, 3, F, H, W] of every stage."""


@dataclass(frozen=True)
class Reading:
    """What was asked for, and what was read off each stage's video."""

    id: str
    group: str
    prompt: str
    wanted: Mapping[str, str]
    seed: int
    read: Mapping[str, Mapping[str, str]]
    """Stage -> attribute -> value."""
    looks: Mapping[str, Mapping[str, float]]
    """Stage -> sharpness, flicker, drift."""
    features: Mapping[str, Sequence[float]]
    """Stage -> the recogniser's features."""

    def right(self, stage: str, attribute: str) -> bool:
        """Whether an attribute was read as asked for."""
        return self.read[stage][attribute] == self.wanted[attribute]

    def wrong(self, stage: str) -> list[str]:
        """Attributes that were read otherwise than asked for."""
        return [name for name in self.wanted if not self.right(stage, name)]


def generator_of(pipeline: Any, stop_after: str) -> Make:
    """Videos as the pipeline makes them from a prompt."""

    def make(asked: Asked) -> Mapping[str, Tensor]:
        return pipeline(asked.prompt, seed=asked.seed % 2**31, stop_after=stop_after, output_type="pt").stages()

    return make


def ceiling_of(pipeline: Any, world: EmojiWorld, stop_after: str) -> Make:
    """Each stage's video where the stage before it was perfect: drawn, not generated."""
    s: CascadeSettings = pipeline.settings
    sizes, frames = s.stage_sizes(), torch.tensor(s.frame_times())

    def draw(asked: Asked, stage: str) -> Tensor:
        return drawn(world, asked, sizes[stage], frames[:: s.between + 1] if stage == "keyframes" else frames)

    def make(asked: Asked) -> Mapping[str, Tensor]:
        made = {"keyframes": draw(asked, "keyframes")}
        for before, stage in pairwise(STAGES[: STAGES.index(stop_after) + 1]):
            given = {before: draw(asked, before)}
            result = pipeline(asked.prompt, seed=asked.seed % 2**31, given=given, stop_after=stage, output_type="pt")
            made[stage] = result.stages()[stage]
        return made

    return make


@torch.no_grad()
def read_videos(recogniser: Recogniser, asked: Asked, videos: Mapping[str, Tensor]) -> Reading:
    """Read every stage's video [1, 3, F, H, W]."""
    videos = {stage: video.to(recogniser.device).clamp(-1, 1) for stage, video in videos.items()}
    features = {stage: recogniser.features(video) for stage, video in videos.items()}
    read = {stage: recogniser.name(recogniser.classify(seen))[0] for stage, seen in features.items()}
    listed = {stage: [round(value, 5) for value in seen[0].tolist()] for stage, seen in features.items()}
    measured = {stage: looks(video.cpu()) for stage, video in videos.items()}
    return Reading(asked.id, asked.group, asked.prompt, dict(asked.wanted), asked.seed, read, measured, listed)


def read_readings(path: Path) -> list[Reading]:
    """The readings in a file; none where it is not there, and a line that a crash cut short is left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = []
    for line in lines:
        try:
            found.append(Reading(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


class AlignmentRun:
    """A folder of readings that grows video by video and can be gone on with after any stop.

    Args:
        folder: made where it is not there.
        manifest: what all readings share (model, seed, settings); a folder with another one is refused.

    Raises:
        SettingsError: the folder holds the readings of another run.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        try:
            (folder / STRIPS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write in '{folder}': {error.strerror or error}") from error
        path = folder / MANIFEST
        if path.is_file():
            self._check_same(read_json(path), json.loads(json.dumps(dict(manifest))))
        else:
            with whole_file(path) as partial:
                partial.write_text(json.dumps(dict(manifest), indent=1) + "\n")

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for key in now:
            if before.get(key) != now[key]:
                raise SettingsError(
                    f"'{self.folder}' holds readings made with {key} {before.get(key)!r}, not {now[key]!r}; use another folder"
                )

    def readings(self) -> list[Reading]:
        """All readings so far."""
        return read_readings(self.folder / READINGS)

    def go_on(self, asked: Sequence[Asked], recogniser: Recogniser, make: Make) -> Iterator[Reading]:
        """Make and read what is not there yet, one at a time."""
        done = {reading.id for reading in self.readings()}
        for one in asked:
            if one.id not in done:
                videos = make(one)
                reading = read_videos(recogniser, one, videos)
                self._keep(reading, list(videos.values())[-1][0])
                yield reading

    def _keep(self, reading: Reading, video: Tensor) -> None:
        path = self.folder / READINGS
        cut_short = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        try:
            strip(video).save(self.folder / STRIPS / f"{reading.id}.png")
            with path.open("a", encoding="utf-8") as handle:
                handle.write(("\n" if cut_short else "") + json.dumps(asdict(reading), ensure_ascii=False) + "\n")
        except OSError as error:
            raise DataError(f"cannot write in '{self.folder}': {error.strerror or error}") from error


def strip(video: Tensor) -> Image.Image:
    """The frames of a video [3, F, H, W] that the recogniser reads, side by side."""
    frames = [picture.resize(STRIP_SIZE, Image.Resampling.LANCZOS) for picture in to_pil(as_read(video[None])[0].cpu())]
    sheet = Image.new("RGB", (STRIP_SIZE[0] * len(frames), STRIP_SIZE[1]))
    for index, frame in enumerate(frames):
        sheet.paste(frame, (index * STRIP_SIZE[0], 0))
    return sheet
