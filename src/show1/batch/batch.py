"""A whole batch: what is to be made, what is there already, and what came of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from show1.batch.cluster import connected, flow
from show1.batch.folder import SENT, BatchFolder, request_key
from show1.batch.prompts import BadLine, Job
from show1.batch.workers import Plan
from show1.cascade.settings import STAGES, CascadeSettings
from show1.runs.manifest import write_manifest


@dataclass
class Outcome:
    """How far a batch came."""

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Record of every finished video, by id."""
    failed: dict[str, str] = field(default_factory=dict)
    """Error of every failed one."""
    kept: int = 0
    """Videos that were there already."""


class Batch:
    """Jobs in a folder.

    Args:
        root: the batch's folder; made where it is not there.
        jobs, bad: from `read_prompts`.
        plan: how; its `root` and `token` are filled in here.
        own: the model's settings.
    """

    def __init__(self, root: Path, jobs: list[Job], bad: list[BadLine], plan: Plan, own: CascadeSettings) -> None:
        self.folder, self.jobs, self.bad = BatchFolder(root.resolve()), jobs, bad
        self.plan = replace(plan, root=str(self.folder.root), token=secrets.token_hex(8))
        self.outcome = Outcome()
        self.keys = {job.id: request_key(job, job.request.cascade(own).to_dict(), plan.dtype) for job in jobs}

    def make(
        self,
        workers: int = 1,
        address: str | None = None,
        on_begin: Callable[[int], object] | None = None,
        on_video: Callable[[str], object] | None = None,
    ) -> Outcome:
        """Make the videos that are missing; write `results.jsonl` however it ends.

        Args:
            workers: in each stage's pool.
            address: of a Ray cluster; Ray on this machine alone where None.
            on_begin: called with the number of videos that are there already.
            on_video: called with the id of each video that is finished or failed.

        Raises:
            RunBusyError: another batch is at work in the folder.
            ClusterError: Ray is not there or broke down.
        """
        with self.folder.lock():
            todo = self._find_finished()
            (on_begin or (lambda count: None))(self.outcome.kept)
            try:
                if todo:
                    self._make(todo, min(workers, len(todo)), address, on_video or (lambda name: None))
            finally:
                self.folder.write_results(self.jobs, self.bad, self.outcome.done, self.outcome.failed)
        return self.outcome

    def records(self) -> list[dict[str, Any]]:
        """Records of the finished videos, in the order of the prompts."""
        return [self.outcome.done[job.id] for job in self.jobs if job.id in self.outcome.done]

    def _find_finished(self) -> list[Job]:
        """Note what is there; the jobs that are left."""
        todo = []
        for job in self.jobs:
            record = self.folder.finished(job, self.keys[job.id])
            if record is None:
                todo.append(job)
                continue
            self.outcome.done[job.id] = record
            if not self.plan.keep_runs:
                self.folder.forget_run(job.id)
        self.outcome.kept = len(self.outcome.done)
        return todo

    def _make(self, todo: list[Job], workers: int, address: str | None, on_video: Callable[[str], object]) -> None:
        jobs = {job.id: job for job in todo}
        stages = STAGES.index(self.plan.stop_after) + 1
        write_manifest(self.folder.root / SENT, {"token": self.plan.token})
        try:
            with connected(address, workers * stages):
                for row in flow([self._row(job) for job in todo], self.plan, workers):
                    record = self.folder.finished(jobs[row["id"]], row["key"])
                    if row["error"] or record is None:
                        self.outcome.failed[row["id"]] = row["error"] or "its video is not where it was written"
                    else:
                        self.outcome.done[row["id"]] = record
                    on_video(row["id"])
        finally:
            (self.folder.root / SENT).unlink(missing_ok=True)

    def _row(self, job: Job) -> dict[str, Any]:
        output = Path("..", "..", self.folder.videos.name, f"{job.id}{job.request.ending}")
        request = replace(job.request, output=str(output))
        return {"id": job.id, "key": self.keys[job.id], "request": json.dumps(request.to_dict()), "texts": b"", "error": ""}
