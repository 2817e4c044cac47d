"""Users' own clips as a source of training clips: read and decoded in the background, in an order that follows from seed and step."""

from __future__ import annotations

import logging
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from show1.cascade.settings import PUBLISHED
from show1.data.decoding import read_frames, read_seconds
from show1.data.order import Order
from show1.data.problems import SkippedClips, UnusableError
from show1.data.records import Record, read_array
from show1.data.sources import open_source
from show1.data.storage import read_part
from show1.errors import DataError, SettingsError
from show1.training.clips import CLIP_FRAMES, FPS, LATENT_CELL, SEED_STRIDE, USUAL_SIZES, StageSizes, Wanted, cut
from show1.training.config import TrainConfig
from show1.video import from_uint8
from show1.worlds.chance import hash_words

logger = logging.getLogger(__name__)

CLIP_SECONDS = (CLIP_FRAMES - 1) / FPS
"""From a clip's first frame to its last."""
LATENTS = "latents"
MOST_TRIES = 100
"""Clips tried in one's place before a run gives up."""


def bucket_sizes(width: int, height: int) -> StageSizes:
    """Every stage's size for keyframes of a size, stretched as the published sizes are (64 x 40 to 576 x 320).

    Raises:
        SettingsError: a side that 8 does not divide.
    """
    if min(width, height) < LATENT_CELL or width % LATENT_CELL or height % LATENT_CELL:
        raise SettingsError(f"a bucket of {width} x {height}: use keyframe sizes whose sides 8 divides, such as [64, 40] and [40, 64]")
    scale = PUBLISHED.pixel_scale
    longer, shorter = (final // low for final, low in zip(USUAL_SIZES.final, USUAL_SIZES.low, strict=True))
    final = (width * (longer if width > height else shorter), height * (longer if height > width else shorter))
    return StageSizes((width, height), (width * scale, height * scale), final)


Job = tuple[int, tuple[float, ...], int, Wanted]
"""Seed, seconds of the frames, number of the batch's bucket, and what is wanted of a clip."""


@dataclass(frozen=True)
class ReadClip:
    """What was read of one clip."""

    caption: str
    frames: np.ndarray | None
    """8-bit RGB [F, H, W, 3]."""
    arrays: dict[str, np.ndarray]


class RecordedSource:
    """Clips that lie in files.

    Clip n of a run is read alone, so that a run goes on anywhere without reading what was read before, and processes
    read disjoint clips. One that cannot be used is counted, kept in the run's `skipped.csv`, and another takes its place.
    """

    def __init__(self, config: TrainConfig, source: str, device: torch.device, folder: Path) -> None:
        """`folder`: the run's.

        Raises:
            DataError: nothing to be used there.
            SettingsError: buckets that cannot be, or whose clips' sizes are not known.
        """
        self.listing = open_source(source)
        self.device = device
        self.skipped = SkippedClips(folder / "skipped.csv")
        shapes = [bucket_sizes(*size) for size in config.data.buckets] if config.data.buckets else [USUAL_SIZES]
        filled = _sorted_into(self.listing.records, shapes)
        self.sizes, self.buckets = list(filled), list(filled.values())
        self.order = Order([len(records) for records in self.buckets], config.batch_size)
        self.pool = ThreadPoolExecutor(max(1, config.data.workers), thread_name_prefix="clips")
        self.ahead: dict[Job, Future[ReadClip]] = {}

    def clips(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> RecordedClips:
        bucket = self._place(seeds[0] if like is None else like)[0]
        futures = [self._begun(job) for job in self._jobs(seeds, times, wanted, bucket)]
        return RecordedClips([future.result() for future in futures], seeds, times, self.sizes[bucket], self.device)

    def _begun(self, job: Job) -> Future[ReadClip]:
        return self.ahead.pop(job) if job in self.ahead else self.pool.submit(self._read, *job)

    def look_ahead(self, seeds: list[int], times: Tensor, wanted: Wanted, *, like: int | None = None) -> None:
        bucket = self._place(seeds[0] if like is None else like)[0]
        for job in self._jobs(seeds, times, wanted, bucket):
            if job not in self.ahead:
                self.ahead[job] = self.pool.submit(self._read, *job)
        for job in list(self.ahead)[: -2 * len(seeds)]:  # nobody came for them
            self.ahead.pop(job).cancel()

    def _place(self, seed: int) -> tuple[int, int]:
        return self.order.at(*divmod(seed, SEED_STRIDE))

    def _jobs(self, seeds: list[int], times: Tensor, wanted: Wanted, shape: int) -> list[Job]:
        """Arguments of `_read` for each clip; a batch has the shape of its first clip."""
        rows = times.double().expand(len(seeds), -1).tolist()
        return [(seed, tuple(row), shape, wanted) for seed, row in zip(seeds, rows, strict=True)]

    def _read(self, seed: int, times: tuple[float, ...], shape: int, wanted: Wanted) -> ReadClip:
        """The clip of a seed, or, where that cannot be used, one of its bucket that can; always the same one."""
        bucket, number = self._place(seed)
        problem: UnusableError | None = None
        for attempt in range(MOST_TRIES):
            record = self.buckets[bucket][number]
            try:
                return self._read_record(record, seed, times, shape, wanted)
            except UnusableError as error:
                problem = error
                self._skip(record, error)
            number = hash_words("instead", seed, attempt) % len(self.buckets[bucket])
        raise DataError(
            f"{MOST_TRIES} clips of '{self.listing.source}' in a row cannot be used, the last because of: {problem}; "
            f"`show1 data prepare` says what is wrong with a set"
        )

    def _read_record(self, record: Record, seed: int, times: tuple[float, ...], shape: int, wanted: Wanted) -> ReadClip:
        caption = record.caption()
        arrays = {name: record.array(name) for name in wanted.arrays}
        if not wanted.frames:
            return ReadClip(caption, None, arrays)
        still = len(times) == 1 or record.is_picture()  # a picture is one anywhere in a clip; frames need a clip that goes on
        if record.seconds and not still and record.seconds + 1 / FPS < max(times):
            raise UnusableError("too short", f"{record.seconds:.2f} s, {max(times):.2f} s is wanted")
        data = record.video_bytes()
        spare = 0.0 if LATENTS in arrays else max(0.0, (record.seconds or read_seconds(data)) - CLIP_SECONDS - 1 / FPS)
        start = spare * (hash_words("start", seed) / 2**64)
        return ReadClip(caption, read_frames(data, [start + time for time in times], self.sizes[shape].final, hold=still), arrays)

    def _skip(self, record: Record, problem: UnusableError) -> None:
        if not self.skipped.reasons:
            logger.warning("The clip '%s' cannot be used (%s); such clips are listed in '%s'", record.key, problem, self.skipped.path)
        self.skipped.add(record.key, problem)

    def corpus(self, count: int) -> list[str]:
        captions = []
        for record in self.listing.records[:count]:
            try:
                captions.append(record.caption())
            except UnusableError as problem:
                self._skip(record, problem)
        return captions

    def prepared(self, kind: str) -> dict[str, Any]:
        return dict(self.listing.summary.get("prepared", {}).get(kind, {}))

    def empty_text(self, kind: str) -> Tensor:
        name = str(self.prepared(kind).get("empty"))
        try:
            return torch.from_numpy(read_array(read_part(self.listing.beside(name)), name)).float().to(self.device)
        except UnusableError as problem:
            raise DataError(f"the prepared set '{self.listing.source}' is not whole: {problem}") from problem

    def measures(self) -> dict[str, float]:
        return {"skipped clips": float(len(self.skipped))}

    def notes(self) -> list[str]:
        skipped = SkippedClips(self.skipped.path)  # with those of other processes
        return [f"clips that could not be used: {skipped}; see {skipped.path}"] if len(skipped) else []


def _sorted_into(records: list[Record], shapes: list[StageSizes]) -> dict[StageSizes, list[Record]]:
    """Clips by the bucket whose shape is nearest to theirs; empty buckets go."""
    if len(shapes) == 1:
        return {shapes[0]: records}
    unknown = [record.key for record in records if not record.width or not record.height]
    if unknown:
        raise SettingsError(
            f"buckets need every clip's size, which '{unknown[0]}' and {len(unknown) - 1} others do not give: "
            "write shards with `show1 data prepare` and train on those"
        )
    buckets: dict[StageSizes, list[Record]] = {shape: [] for shape in shapes}
    for record in records:
        wide = math.log(record.width / record.height)
        nearest = min(shapes, key=lambda shape: abs(math.log(shape.final[0] / shape.final[1]) - wide))
        buckets[nearest].append(record)
    return {shape: held for shape, held in buckets.items() if held}


class RecordedClips:
    """Clips that were read from files, in one field of view at every size."""

    def __init__(self, read: list[ReadClip], seeds: list[int], times: Tensor, sizes: StageSizes, device: torch.device) -> None:
        self.read = read
        self.seeds = seeds
        self.times = times
        self.sizes = sizes
        self.device = device

    @property
    def captions(self) -> list[str]:
        return [clip.caption for clip in self.read]

    def draw(self, size: tuple[int, int], crop: tuple[int, int, int, int] | None = None) -> Tensor:
        window = crop or (0, 0, size[1], size[0])
        return torch.stack([_drawn(clip, size, window, self.device) for clip in self.read])

    def objects_in(self, pictures: Tensor) -> Tensor:
        raise SettingsError("object_weight needs to know where objects are: it is for the emoji world only, leave it at 1")

    def array(self, name: str) -> Tensor:
        """Raises DataError where clips' arrays differ in shape."""
        arrays = [clip.arrays[name] for clip in self.read]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise DataError(f"the '{name}' of clips differ in shape: {sorted(shapes)}; prepare the set again")
        return torch.from_numpy(np.stack(arrays)).float().to(self.device)


def _drawn(clip: ReadClip, size: tuple[int, int], window: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """[3, F, h, w] in [-1, 1]: the window of a clip's pictures at a size; smaller ones are squeezed from the largest, as published."""
    if clip.frames is None:
        raise AssertionError("pictures were not asked for")
    frames = torch.from_numpy(clip.frames).to(device)
    if frames.shape[2:0:-1] == size:
        return from_uint8(frames[:, window[0] : window[0] + window[2], window[1] : window[1] + window[3]])
    video = from_uint8(frames).transpose(0, 1)
    squeezed = functional.interpolate(video, (size[1], size[0]), mode="bicubic", antialias=True).clamp(-1, 1)
    return cut(squeezed.transpose(0, 1), window)
