"""The job store as the API sees it: add, look up, list, cancel, delete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from show1.serving.database import Database
from show1.serving.job import CANCELLED, COMPLETED, OPEN, QUEUED, RUNNING, Job, Order, new_id
from show1.serving.refusals import RefusedError

RECENT = 20
"""Finished jobs whose mean time says how long one takes."""
LONGEST_WAIT = 60.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one key may ask for."""

    max_open: int = 32
    """Jobs queued or running at a time."""
    per_minute: int = 120
    """Jobs made a minute."""


UNLIMITED = Limits(max_open=2**31, per_minute=2**31)
"""For the machine's own user, where no key is needed; the queue's bound still holds."""


class JobStore:
    """Jobs in SQLite, their files in folders beside it. Any number of servers and workers on one machine can share one.

    Args:
        folder: made where it is missing; holds `jobs.sqlite3`, `videos/<id>/` and `locks/`.
        max_queue: jobs that may wait.
    """

    def __init__(self, folder: Path, max_queue: int = 100) -> None:
        self.folder, self.max_queue = folder, max_queue
        self.database = Database(folder / "jobs.sqlite3")

    def files(self, job_id: str) -> Path:
        """A job's own folder."""
        return self.folder / "videos" / job_id

    def picture(self, job_id: str) -> Path:
        """The first frame that came with a job, where one did."""
        return self.folder / "pictures" / job_id

    def lock(self, job_id: str) -> Path:
        """The file that a worker holds locked while it has the job."""
        return self.folder / "locks" / f"{job_id}.lock"

    def add(
        self,
        order: Order,
        owner: str,
        limits: Limits,
        idempotency_key: str | None = None,
        body: object = None,
        picture: bytes | None = None,
    ) -> Job:
        """Accept an order, or find the job that the same request made before; when this returns, the job is on disk.

        Args:
            order: what to make.
            owner: the key's name.
            limits: of that key.
            idempotency_key: the caller's name for this request.
            body: the request as it was sent, to tell a repeated request from another one under the same name.
            picture: the file of the video's first frame.

        Raises:
            RefusedError: the queue or the key's share is full (429), or the idempotency key was used for another request (422).
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode() + (picture or b"")).hexdigest()
        with self.database.writing() as db:
            if idempotency_key is not None:
                known = _known(db, owner, idempotency_key, digest)
                if known is not None:
                    return known
            self._check_room(db, owner, limits)
            job_id, now = new_id(), time.time()
            db.execute(
                "INSERT INTO jobs (id, owner, model, wanted, state, created_at, idempotency_key, request_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job_id, owner, order.model, json.dumps(asdict(order)), QUEUED, now, idempotency_key, digest),
            )
            note(db, job_id, "accepted")
            if picture is not None:
                _write(self.picture(job_id), picture)
            return Job.from_row(db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def _check_room(self, db: sqlite3.Connection, owner: str, limits: Limits) -> None:
        waiting = db.execute("SELECT count(*) FROM jobs WHERE state = ?", (QUEUED,)).fetchone()[0]
        if waiting >= self.max_queue:
            raise RefusedError(
                429, f"the queue is full: {waiting} jobs are waiting; try again later", "queue_full", retry_after=usual_seconds(db)
            )
        open_jobs = db.execute("SELECT count(*) FROM jobs WHERE owner = ? AND state IN (?, ?)", (owner, *OPEN)).fetchone()[0]
        if open_jobs >= limits.max_open:
            message = (
                f"{open_jobs} of your jobs are queued or running, which is all this key may have at a time; wait for one or cancel one"
            )
            raise RefusedError(429, message, "too_many_open_jobs", retry_after=usual_seconds(db))
        since = time.time() - 60
        row = db.execute(
            "SELECT created_at FROM jobs WHERE owner = ? AND created_at > ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
            (owner, since, limits.per_minute - 1),
        ).fetchone()
        if row is not None:
            message = f"this key may make {limits.per_minute} jobs a minute; try again later"
            raise RefusedError(429, message, "rate_limit_exceeded", retry_after=row["created_at"] - since)

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job, where there is one that this owner may see (None: anyone's)."""
        row = self.database.connection().execute("SELECT * FROM jobs WHERE id = ? AND NOT deleted", (job_id,)).fetchone()
        return None if row is None or owner not in (None, row["owner"]) else Job.from_row(row)

    def page(self, owner: str | None, after: str | None = None, limit: int = 20, newest_first: bool = True) -> tuple[list[Job], bool]:
        """Jobs in the order they were made, after one of them, and whether there are more.

        Raises:
            KeyError: there is no job `after`.
        """
        db = self.database.connection()
        conditions, values = ["NOT deleted"], []
        if owner is not None:
            conditions, values = [*conditions, "owner = ?"], [owner]
        if after is not None:
            row = db.execute(f"SELECT seq FROM jobs WHERE id = ? AND {' AND '.join(conditions)}", (after, *values)).fetchone()
            if row is None:
                raise KeyError(after)
            conditions, values = [*conditions, f"seq {'<' if newest_first else '>'} ?"], [*values, row["seq"]]
        direction = "DESC" if newest_first else "ASC"
        query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY seq {direction} LIMIT ?"
        rows = db.execute(query, (*values, limit + 1)).fetchall()
        return [Job.from_row(row) for row in rows[:limit]], len(rows) > limit

    def ahead(self, job: Job) -> int:
        """How many jobs are before a queued one."""
        query = "SELECT count(*) FROM jobs WHERE state IN (?, ?) AND seq < (SELECT seq FROM jobs WHERE id = ?)"
        return int(self.database.connection().execute(query, (*OPEN, job.id)).fetchone()[0])

    def cancel(self, job_id: str) -> None:
        """Take a job out of the queue, or ask its worker to stop; a job that has ended stays as it is."""
        with self.database.writing() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id = ? AND state = ?", (job_id, QUEUED)).fetchone():
                end(db, job_id, CANCELLED)
            else:
                db.execute("UPDATE jobs SET stop_wanted = 1 WHERE id = ? AND state = ?", (job_id, RUNNING))

    def delete(self, job_id: str) -> None:
        """Remove a job with its files. One that is running vanishes at once and is removed when its worker has stopped."""
        with self.database.writing() as db:
            if db.execute("UPDATE jobs SET stop_wanted = 1, deleted = 1 WHERE id = ? AND state = ?", (job_id, RUNNING)).rowcount:
                return
            end(db, job_id, CANCELLED)  # a queued one must not be taken up while it is removed
        self.remove(job_id)

    def remove(self, job_id: str) -> None:
        """Remove a job that nobody works on, first its files: a half-removed one is still listed and can be removed again."""
        shutil.rmtree(self.files(job_id), ignore_errors=True)
        self.picture(job_id).unlink(missing_ok=True)
        with self.database.writing() as db:
            db.execute("DELETE FROM history WHERE job = ?", (job_id,))
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        self.lock(job_id).unlink(missing_ok=True)

    def history(self, job_id: str) -> list[tuple[float, str]]:
        """What happened to a job, and when: accepted, started, resumed, stages, and how it ended."""
        rows = self.database.connection().execute("SELECT at, what FROM history WHERE job = ? ORDER BY seq", (job_id,))
        return [(row["at"], row["what"]) for row in rows]


def _known(db: sqlite3.Connection, owner: str, idempotency_key: str, digest: str) -> Job | None:
    row = db.execute("SELECT * FROM jobs WHERE owner = ? AND idempotency_key = ?", (owner, idempotency_key)).fetchone()
    if row is None:
        return None
    if row["request_hash"] != digest:
        message = "this Idempotency-Key was used for a request with other parameters; use a new key for a new request"
        raise RefusedError(422, message, "idempotency_key_reused", param="Idempotency-Key")
    return Job.from_row(row)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def note(db: sqlite3.Connection, job_id: str, what: str) -> None:
    """Write down that something happened to a job."""
    db.execute("INSERT INTO history (job, at, what) VALUES (?, ?, ?)", (job_id, time.time(), what))


def end(db: sqlite3.Connection, job_id: str, state: str, code: str | None = None, message: str | None = None) -> bool:
    """End an open job; False where it had ended already."""
    now = time.time()
    ended = db.execute(
        "UPDATE jobs SET state = ?, completed_at = ?, stage = NULL, worker = NULL, error_code = ?, error_message = ?, "
        "progress = CASE WHEN ? THEN 1 ELSE progress END WHERE id = ? AND state IN (?, ?)",
        (state, now, code, message, state == COMPLETED, job_id, *OPEN),
    ).rowcount
    if not ended:
        return False
    note(db, job_id, state)
    seconds = now - (db.execute("SELECT started_at FROM jobs WHERE id = ?", (job_id,)).fetchone()[0] or now)
    add = "INSERT INTO totals VALUES (?, 1, ?) ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1, seconds = seconds + excluded.seconds"
    db.execute(add, (state, seconds))
    return True


def usual_seconds(db: sqlite3.Connection) -> float:
    """How long a job took of late, at most LONGEST_WAIT."""
    query = "SELECT avg(seconds) FROM (SELECT completed_at - started_at AS seconds FROM jobs WHERE state = ? ORDER BY seq DESC LIMIT ?)"
    mean = db.execute(query, (COMPLETED, RECENT)).fetchone()[0]
    return LONGEST_WAIT / 6 if mean is None else float(min(mean, LONGEST_WAIT))
