"""Check a data set clip by clip and write what can be used as WebDataset shards, each with its index."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from show1.data.decoding import VideoFacts, read_facts
from show1.data.problems import SkippedClips, UnusableError
from show1.data.records import Record
from show1.data.shards import index_place, scan_shard
from show1.data.sources import SUMMARY, open_source
from show1.errors import DataError, SettingsError
from show1.video import whole_file

BEGUN = "prepare.json"
"""How a set is prepared: written first, so that the same command goes on with it."""
TOGETHER = 16
"""Clips that networks see at a time."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What a clip must be, and how shards are cut."""

    min_seconds: float = 29 / 7.5
    """Shortest clip: what a finished video lasts."""
    min_size: tuple[int, int] = (256, 160)
    """Smallest picture, (longer, shorter) side in pixels: what the pixel stage makes."""
    shard_clips: int = 1000
    """Most clips in a shard."""
    shard_bytes: int = 1 << 30
    """A shard is closed when it holds as much."""

    def __post_init__(self) -> None:
        for name in ("shard_clips", "shard_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 1 or more")
        if not 0 <= self.min_seconds <= 3600:
            raise SettingsError(f"min_seconds is {self.min_seconds}; use 0 to 3600")


@dataclass(frozen=True)
class CheckedClip:
    """A clip that can be used."""

    record: Record
    caption: str
    data: bytes
    facts: VideoFacts

    @property
    def ending(self) -> str:
        """`.webm` or `.mp4`, by the file's first bytes: names can be wrong."""
        return ".webm" if self.data[:4] == b"\x1a\x45\xdf\xa3" else ".mp4"


class Extra(Protocol):
    """Something that is computed ahead of every clip."""

    kind: str
    """Its name among a clip's arrays."""

    def facts(self) -> dict[str, Any]:
        """What the set says of it; `maker` marks the network."""
        ...

    def arrays(self, clips: Sequence[CheckedClip]) -> list[np.ndarray]:
        """One array a clip."""
        ...

    def files(self) -> dict[str, np.ndarray]:
        """What goes beside the shards, by name."""
        ...


def check_clip(record: Record, settings: PrepareSettings) -> CheckedClip:
    """Read a clip to its last frame.

    Raises:
        UnusableError: why it cannot be used.
    """
    caption = record.caption()
    data = record.video_bytes()
    facts = read_facts(data)
    if facts.seconds + 1e-3 < settings.min_seconds:
        raise UnusableError("too short", f"{facts.seconds:.2f} s of {settings.min_seconds:.2f} s")
    sides = sorted((facts.width, facts.height)), sorted(settings.min_size)
    if any(side < least for side, least in zip(*sides, strict=True)):
        raise UnusableError("too small", f"{facts.width}x{facts.height}")
    return CheckedClip(record, caption, data, facts)


@dataclass
class _Shard:
    """A shard in the making."""

    number: int
    first: int
    """Place in the source of the first clip that it answers for."""
    path: Path
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    size: int = 0

    def add(self, tar: tarfile.TarFile, place: int, clip: CheckedClip, arrays: dict[str, np.ndarray]) -> None:
        key = f"{place:08d}"
        facts = {"caption": clip.caption, **asdict(clip.facts), "source": clip.record.key}
        parts = {clip.ending: clip.data, ".txt": clip.caption.encode(), ".json": json.dumps(facts, ensure_ascii=False).encode()}
        for kind, array in arrays.items():
            parts[f".{kind}.npy"] = _npy(array)
        for ending, data in parts.items():
            info = tarfile.TarInfo(key + ending)  # without time and owner: the same clips give the same bytes
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
            self.size += len(data)
        self.samples[key] = {name: facts[name] for name in ("caption", "width", "height", "seconds")}

    def write_index(self, until: int, scanned: Sequence[dict[str, Any]]) -> None:
        samples = [{**sample, **self.samples[sample["key"]]} for sample in scanned]
        values = {"shard": self.path.name, "first": self.first, "until": until, "samples": samples, "skipped": self.skipped}
        _write_json(Path(index_place(str(self.path))), values)


def _write_json(path: Path, values: Any) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(values, ensure_ascii=False, indent=None), encoding="utf-8")


class Preparation:
    """One data set on its way into shards; the same call again goes on after the last whole shard."""

    def __init__(self, source: str, output: Path, settings: PrepareSettings, extras: Sequence[Extra] = (), workers: int = 2) -> None:
        """
        Raises:
            DataError: nothing in the source, or another set in the folder.
        """
        self.records = open_source(source).records
        self.output = output
        self.settings = settings
        self.extras = extras
        self.workers = max(1, workers)
        self._claim({"source": source, "clips": len(self.records), **asdict(settings), "prepared": {e.kind: e.facts() for e in extras}})

    def _claim(self, wanted: dict[str, Any]) -> None:
        """Mark the folder as this set's."""
        wanted = json.loads(json.dumps(wanted))
        path = self.output / BEGUN
        if path.is_file():
            have = json.loads(path.read_text(encoding="utf-8"))
            other = [name for name in wanted if have.get(name) != wanted[name]]
            if other:
                raise DataError(f"'{self.output}' was begun with another {', '.join(other)}; take another folder, or delete it")
        elif self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise DataError(f"'{self.output}' is there and holds other things; take a new folder")
        else:
            _write_json(path, wanted)

    def done(self) -> list[dict[str, Any]]:
        """Indexes of the shards that are whole."""
        indexes: list[dict[str, Any]] = []
        while (path := Path(index_place(str(self._path(len(indexes)))))).is_file():
            indexes.append(json.loads(path.read_text(encoding="utf-8")))
        return indexes

    def _path(self, number: int) -> Path:
        return self.output / f"{number:06d}.tar"

    def run(self, advance: Callable[[int], object] = lambda clips: None) -> dict[str, Any]:
        """Write all shards and the set's summary, which is returned; `advance` is told of clips done.

        Raises:
            DataError: the disk is full, or an address does not answer; whole shards stay, and the same call goes on.
        """
        done = self.done()
        start = done[-1]["until"] if done else 0
        advance(start)
        with ThreadPoolExecutor(self.workers) as pool:
            checked = self._checked(pool, start)
            try:
                while start < len(self.records):
                    start = self._write_shard(len(done), start, checked, advance)
                    done = self.done()
            finally:
                checked.close()
        return self._summarise(done)

    def _checked(self, pool: ThreadPoolExecutor, start: int) -> Generator[CheckedClip | UnusableError, None, None]:
        """Clips from a place on, checked side by side, in the source's order."""
        waiting: deque[Future[CheckedClip | UnusableError]] = deque()
        try:
            for record in self.records[start:]:
                waiting.append(pool.submit(self._check, record))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _check(self, record: Record) -> CheckedClip | UnusableError:
        try:
            return check_clip(record, self.settings)
        except UnusableError as problem:
            return problem

    def _write_shard(
        self, number: int, first: int, checked: Iterator[CheckedClip | UnusableError], advance: Callable[[int], object]
    ) -> int:
        """Write one shard and its index; returns the place of the next shard's first clip."""
        shard = _Shard(number, first, self._path(number))
        place, batch = first, list[tuple[int, CheckedClip]]()
        with whole_file(shard.path) as partial:
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for result in checked:
                    if isinstance(result, UnusableError):
                        shard.skipped.append((self.records[place].key, result.reason, result.detail))
                    else:
                        batch.append((place, result))
                    place += 1
                    advance(1)
                    full = len(shard.samples) + len(batch) >= self.settings.shard_clips or shard.size >= self.settings.shard_bytes
                    if full or len(batch) == TOGETHER:
                        self._add(shard, tar, batch)
                        batch = []
                    if full:
                        break
                self._add(shard, tar, batch)
            scanned = list(scan_shard(str(partial))) if shard.samples else []
        if not shard.samples:
            shard.path.unlink()
        shard.write_index(place, scanned)
        return place

    def _add(self, shard: _Shard, tar: tarfile.TarFile, batch: list[tuple[int, CheckedClip]]) -> None:
        if not batch:
            return
        made = {extra.kind: extra.arrays([clip for _, clip in batch]) for extra in self.extras}
        for row, (place, clip) in enumerate(batch):
            shard.add(tar, place, clip, {kind: arrays[row] for kind, arrays in made.items()})

    def _summarise(self, indexes: list[dict[str, Any]]) -> dict[str, Any]:
        skipped = [row for index in indexes for row in index["skipped"]]
        samples = [sample for index in indexes for sample in index["samples"]]
        path = self.output / "skipped.csv"
        path.unlink(missing_ok=True)
        listed = SkippedClips(path)
        for clip, reason, detail in skipped:
            listed.add(clip, UnusableError(reason, detail))
        for extra in self.extras:
            for name, array in extra.files().items():
                with whole_file(self.output / name) as partial:
                    partial.write_bytes(_npy(array))
        summary = {
            "clips": len(samples),
            "seconds": round(sum(sample["seconds"] for sample in samples), 2),
            "skipped": dict(Counter(reason for _, reason, _ in skipped)),
            "shards": [index["shard"] for index in indexes if index["samples"]],
            "prepared": {extra.kind: extra.facts() for extra in self.extras},
        }
        _write_json(self.output / SUMMARY, summary)
        return summary


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
