"""A batch's folder.

videos/ID.mp4, videos/ID.json  a finished video, and what it was made of
results.jsonl                  a line for each prompt, in the file's order, failed ones with their error
runs/ID/                       the run of a video that is not finished yet (or of all, where they are kept)
shards/000000.tar              the videos once more as WebDataset shards, where asked for
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from show1.batch.prompts import BadLine, Job
from show1.errors import DataError
from show1.runs.locking import RunBusyError
from show1.runs.stage_files import is_whole
from show1.video import whole_file

SENT = ".sent.json"
"""What a worker on another machine looks for, to know that it sees the same folder."""


class BatchFolder:
    """The places in a batch's folder; ids are checked before they come here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.videos, self.runs, self.shards, self.results = root / "videos", root / "runs", root / "shards", root / "results.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only batch at work in the folder, which is made where it is not there.

        Raises:
            RunBusyError: another one is.
            DataError: the folder cannot be made or written.
        """
        try:
            for folder in (self.videos, self.runs):
                folder.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.root / ".lock")
            held.acquire(timeout=0)
        except Timeout:
            raise RunBusyError(f"another batch is at work in '{self.root}'") from None
        except OSError as error:
            raise DataError(f"cannot write in '{self.root}': {error.strerror or error}") from error
        try:
            self._clean()
            yield
        finally:
            held.release()

    def _clean(self) -> None:
        """Remove what killed workers left half written, and their counts of attempts."""
        leftovers = [*self.root.glob(".results-*"), *self.videos.glob(".*-*"), *self.runs.glob("*.attempts")]
        for path in leftovers:
            path.unlink(missing_ok=True)

    def run(self, name: str) -> Path:
        """A run's folder."""
        return self.runs / name

    def attempts(self, name: str) -> Path:
        """Holds how often a stage of a run was begun."""
        return self.runs / f"{name}.attempts"

    def video(self, name: str, ending: str) -> Path:
        """Where a finished video is."""
        return self.videos / f"{name}{ending}"

    def record(self, name: str) -> Path:
        """Where a finished video's record is."""
        return self.videos / f"{name}.json"

    def finished(self, job: Job, key: str) -> dict[str, Any] | None:
        """The record of a job's video, where it is there, whole, and of the very same request."""
        try:
            record = json.loads(self.record(job.id).read_text(encoding="utf-8"))
            if record["key"] == key and record["file"] == f"{job.id}{job.request.ending}" and is_whole(self.videos, record):
                return record
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def forget_run(self, name: str) -> None:
        """Remove the run of a finished video."""
        if self.run(name).is_dir():
            with suppress(OSError):  # it only takes space
                shutil.rmtree(self.run(name))

    def write_results(self, jobs: list[Job], bad: list[BadLine], done: Mapping[str, Any], failed: Mapping[str, str]) -> None:
        """Write `results.jsonl`: finished, failed, waiting and refused lines.

        Raises:
            DataError: the file cannot be written; the older one stays.
        """
        lines: dict[int, dict[str, Any]] = {one.line: {"line": one.line, "state": "refused", "error": one.error} for one in bad}
        for job in jobs:
            record = done.get(job.id)
            if record is not None:
                lines[job.line] = {"line": job.line, "state": "finished", **{k: v for k, v in record.items() if k != "key"}}
            else:
                asked = {"id": job.id, "prompt": job.request.prompt, "seed": job.request.seed}
                state = {"state": "failed", "error": failed[job.id]} if job.id in failed else {"state": "waiting"}
                lines[job.line] = {"line": job.line, **state, **asked}
        text = "".join(json.dumps(lines[number], ensure_ascii=False) + "\n" for number in sorted(lines))
        with whole_file(self.results) as partial:
            partial.write_text(text, encoding="utf-8")


def request_key(job: Job, settings: Mapping[str, Any], dtype: str | None) -> str:
    """A key of everything that is asked for: where it changes, a finished video is made anew."""
    request = {name: value for name, value in job.request.to_dict().items() if name not in ("settings", "steps", "guidance", "frames")}
    values = json.dumps([request, settings, dtype], sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:32]
