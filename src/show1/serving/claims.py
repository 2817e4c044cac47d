"""The job store as a worker sees it: take up a job, say how far it is, end it.

A job that is worked on is held by a lock on a file, which the operating system gives up when the worker dies, in whichever
way. So two workers never have one job, and a dead worker's job can be told from a slow one's without clocks.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import dataclass

from filelock import BaseFileLock, FileLock, Timeout

from show1.serving.job import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING, Job
from show1.serving.store import JobStore, end, note

MOST_CRASHES = 3
"""A job over which this many workers died is given up."""


@dataclass(frozen=True)
class Claim:
    """A job that is this worker's until one of the methods that end it is called."""

    store: JobStore
    job: Job
    lock: BaseFileLock

    def report(self, progress: float, stage: str) -> bool:
        """Write down how far the job is; True where it should stop."""
        with self.store.database.writing() as db:
            db.execute("UPDATE jobs SET progress = max(progress, ?), stage = ? WHERE id = ?", (progress, stage, self.job.id))
            return bool(db.execute("SELECT stop_wanted FROM jobs WHERE id = ?", (self.job.id,)).fetchone()[0])

    def stage_done(self, stage: str) -> None:
        """Write down that a stage is finished and its preview is there."""
        with self.store.database.writing() as db:
            stages = json.loads(db.execute("SELECT stages FROM jobs WHERE id = ?", (self.job.id,)).fetchone()[0])
            if stage not in stages:
                db.execute("UPDATE jobs SET stages = ? WHERE id = ?", (json.dumps([*stages, stage]), self.job.id))
                note(db, self.job.id, stage)

    def complete(self) -> None:
        """The video is there."""
        self._end(COMPLETED)

    def fail(self, code: str, message: str) -> None:
        """It cannot be made."""
        self._end(FAILED, code, message)

    def stopped(self) -> None:
        """It was cancelled or deleted."""
        self._end(CANCELLED)

    def put_back(self) -> None:
        """Give the job back unfinished, at its old place in the queue; what is done of it stays."""
        with self.store.database.writing() as db:
            db.execute("UPDATE jobs SET state = ?, stage = NULL, worker = NULL WHERE id = ?", (QUEUED, self.job.id))
            note(db, self.job.id, "put back")
        self.lock.release()

    def _end(self, state: str, code: str | None = None, message: str | None = None) -> None:
        with self.store.database.writing() as db:
            end(db, self.job.id, state, code, message)
            deleted = db.execute("SELECT deleted FROM jobs WHERE id = ?", (self.job.id,)).fetchone()[0]
        if deleted:
            self.store.remove(self.job.id)
        self.lock.release()
        self.store.lock(self.job.id).unlink(missing_ok=True)


def claim(store: JobStore, model: str) -> Claim | None:
    """Take up a job for a model: first one whose worker died, then the one that waits longest. None where there is none."""
    return _claim_abandoned(store, model) or _claim_queued(store, model)


def _claim_abandoned(store: JobStore, model: str) -> Claim | None:
    query = "SELECT id FROM jobs WHERE state = ? AND model = ? ORDER BY seq"
    for row in store.database.connection().execute(query, (RUNNING, model)).fetchall():
        lock = _try_lock(store, row["id"])
        if lock is None:
            continue
        taken = _take(store, row["id"], RUNNING, "resumed")
        if taken is not None:
            return Claim(store, taken, lock)
        lock.release()  # its worker ended it just now
    return None


def _claim_queued(store: JobStore, model: str) -> Claim | None:
    query = "SELECT id FROM jobs WHERE state = ? AND model = ? ORDER BY seq LIMIT 8"
    for row in store.database.connection().execute(query, (QUEUED, model)).fetchall():
        lock = _try_lock(store, row["id"])
        if lock is None:
            continue
        taken = _take(store, row["id"], QUEUED, "started")
        if taken is not None:
            return Claim(store, taken, lock)
        lock.release()  # another worker was quicker
    return None


def _try_lock(store: JobStore, job_id: str) -> BaseFileLock | None:
    path = store.lock(job_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, is_singleton=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _take(store: JobStore, job_id: str, state: str, what: str) -> Job | None:
    """Make a job whose lock is held this worker's, where it still is in the state it was seen in."""
    with store.database.writing() as db:
        update = "UPDATE jobs SET state = ?, worker = ?, started_at = coalesce(started_at, ?) WHERE id = ? AND state = ?"
        if not db.execute(update, (RUNNING, os.getpid(), time.time(), job_id, state)).rowcount:
            return None
        note(db, job_id, what)
        return Job.from_row(db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def note_crash(store: JobStore, worker: int) -> None:
    """Count the death of a worker, by its process id, against the job it had; give the job up where it killed too many."""
    with store.database.writing() as db:
        for row in db.execute("SELECT id, crashes FROM jobs WHERE state = ? AND worker = ? AND NOT deleted", (RUNNING, worker)).fetchall():
            db.execute("UPDATE jobs SET crashes = crashes + 1, worker = NULL WHERE id = ?", (row["id"],))
            _give_up(db, row["id"], row["crashes"] + 1)


def _give_up(db: sqlite3.Connection, job_id: str, crashes: int) -> None:
    if crashes >= MOST_CRASHES:
        end(db, job_id, FAILED, "worker_crashed", f"the worker died {crashes} times over this job; it may need more memory than there is")
