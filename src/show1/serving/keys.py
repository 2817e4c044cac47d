"""API keys: only their hashes are kept, beside the jobs."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass

from show1.errors import SettingsError
from show1.serving.database import Database
from show1.serving.store import Limits

PREFIX = "sk-show1-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key's name and rights; the key itself is nowhere."""

    name: str
    created_at: float
    revoked_at: float | None
    limits: Limits


class KeyStore:
    """Makes, checks and revokes keys.

    Args:
        database: the job store's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, name: str, limits: Limits) -> str:
        """Make a key. Returns it: it cannot be read again.

        Raises:
            SettingsError: a name that cannot be one or is taken, or limits below 1.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(f"a key's name has 1 to 64 letters, digits and _ . @ -, and starts with a letter or digit; not {name!r}")
        if limits.max_open < 1 or limits.per_minute < 1:
            raise SettingsError(f"limits of {limits.max_open} jobs and {limits.per_minute} a minute allow nothing; use 1 or more")
        key = PREFIX + secrets.token_urlsafe(32)
        values = (name, _hash(key), time.time(), limits.max_open, limits.per_minute)
        try:
            with self.database.writing() as db:
                db.execute("INSERT INTO keys (name, hash, created_at, max_open, per_minute) VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise SettingsError(f"there is a key named '{name}' already; names of revoked keys are not used again either") from None
        return key

    def check(self, key: str) -> Key | None:
        """Whose key this is; None for one that was never made or is revoked."""
        # Hashes are looked up, not keys: how long it takes says nothing about a key. Keys are random, so no salt is needed.
        row = self.database.connection().execute("SELECT * FROM keys WHERE hash = ? AND revoked_at IS NULL", (_hash(key),)).fetchone()
        return None if row is None else _key(row)

    def revoke(self, name: str) -> None:
        """Make a key useless from now on; its jobs stay.

        Raises:
            SettingsError: there is no such key, or it is revoked already.
        """
        with self.database.writing() as db:
            if not db.execute("UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (time.time(), name)).rowcount:
                raise SettingsError(f"there is no key named {name!r} that could be revoked; `show1 keys list` shows all")

    def all(self) -> list[Key]:
        """Every key ever made, oldest first."""
        return [_key(row) for row in self.database.connection().execute("SELECT * FROM keys ORDER BY created_at")]

    def named(self, name: str) -> Key | None:
        """A key by its name, where there is one that is not revoked."""
        row = self.database.connection().execute("SELECT * FROM keys WHERE name = ? AND revoked_at IS NULL", (name,)).fetchone()
        return None if row is None else _key(row)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: sqlite3.Row) -> Key:
    limits = Limits(max_open=row["max_open"], per_minute=row["per_minute"])
    return Key(name=row["name"], created_at=row["created_at"], revoked_at=row["revoked_at"], limits=limits)
