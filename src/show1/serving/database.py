"""The job store's SQLite file: schema, connections, transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from show1.errors import DataError

VERSION = 1
SCHEMA = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    model TEXT NOT NULL,
    wanted TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    completed_at REAL,
    progress REAL NOT NULL DEFAULT 0,
    stage TEXT,
    stages TEXT NOT NULL DEFAULT '[]',
    error_code TEXT,
    error_message TEXT,
    stop_wanted INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    worker INTEGER,
    idempotency_key TEXT,
    request_hash TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, seq);
CREATE INDEX jobs_by_owner ON jobs (owner, seq);
CREATE INDEX jobs_by_owner_and_state ON jobs (owner, state);
CREATE UNIQUE INDEX jobs_by_idempotency_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    at REAL NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX history_by_job ON history (job, seq);
CREATE TABLE totals (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    revoked_at REAL,
    max_open INTEGER NOT NULL,
    per_minute INTEGER NOT NULL
);
"""


class Database:
    """One SQLite file in WAL mode, with a connection for each thread.

    Args:
        path: the file; it and its folder are made.

    Raises:
        DataError: the file cannot be opened or made, is no job store, or a later version's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"the job store '{path}' cannot be opened: {error}") from error

    def _prepare(self) -> None:
        self.connection().execute("PRAGMA journal_mode = WAL")
        with self.writing() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise DataError(f"the job store '{self.path}' was written by a later version of show1 ({version}, not {VERSION})")
            if version == 0:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        made = getattr(self._local, "connection", None)
        if made is None:
            made = self._local.connection = sqlite3.connect(self.path, timeout=20.0, isolation_level=None)
            made.row_factory = sqlite3.Row
            made.execute("PRAGMA synchronous = FULL")  # an accepted job outlives a power cut
            made.execute("PRAGMA cache_size = -256")
        return made

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that writes; nobody else writes in between. An error undoes it."""
        db = self.connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
