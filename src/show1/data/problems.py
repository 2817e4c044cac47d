"""Clips that cannot be used: why, how many, and which."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from pathlib import Path

REASONS = {
    "missing": "the file is not there",
    "unreadable": "the file is damaged or of no known kind",
    "other kind": "the file is a video, but neither .mp4 nor .webm",
    "no video": "the file holds no moving pictures",
    "no frames": "not one frame can be decoded",
    "too short": "it ends before the last frame that is wanted",
    "too small": "it is narrower or lower than asked",
    "too large": "its pictures are larger than any camera's",
    "no caption": "the caption is missing or empty",
    "bad caption": "the caption is not text, or longer than is taken",
}
"""Why a clip is skipped, in a word or two, and what that means."""
HEADER = ("clip", "reason", "detail")


class UnusableError(Exception):
    """One clip cannot be used; the others can."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`reason` is one of REASONS."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = " ".join(detail.split())


class SkippedClips:
    """Which clips were skipped and why, each counted once; kept in a file where one is given, and read back from it."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        if path is not None and path.is_file():
            with path.open(newline="", encoding="utf-8") as handle:
                self.reasons = {row["clip"]: row["reason"] for row in csv.DictReader(handle) if row.get("reason")}

    def add(self, clip: str, problem: UnusableError) -> None:
        """Count a clip."""
        with self._lock:
            if clip in self.reasons:
                return
            self.reasons[clip] = problem.reason
            if self.path is None:
                return
            new = not self.path.exists()
            with self.path.open("a", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle, lineterminator="\n")
                if new:
                    writer.writerow(HEADER)
                writer.writerow((clip, problem.reason, problem.detail))

    def __len__(self) -> int:
        return len(self.reasons)

    def __str__(self) -> str:
        """`3 (2 unreadable, 1 too short)`."""
        return tally(Counter(self.reasons.values()))


def tally(counts: Counter[str]) -> str:
    """`3 (2 unreadable, 1 too short)`, the most frequent first."""
    parts = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return f"{counts.total()} ({parts})" if parts else "0"
