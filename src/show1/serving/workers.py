"""The server's workers: started with it, started again when they die, stopped with it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from show1.serving.claims import note_crash
from show1.serving.store import JobStore

logger = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a dead worker is started again: twice as many each time, unless it had lived for longer than the longest."""
GRACE_SECONDS = 10.0
"""How long workers may take to put their jobs back."""


class Workers:
    """Worker processes, watched by a thread each.

    Args:
        store: whose jobs they make.
        count: how many.
        options: passed on to `show1.serving.worker`.
    """

    def __init__(self, store: JobStore, count: int, options: Sequence[str]) -> None:
        self.store, self.options = store, options
        self._stopping = threading.Event()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ready: set[int] = set()
        self._threads = [threading.Thread(target=self._watch, args=(number,), daemon=True) for number in range(count)]

    def start(self) -> None:
        """Start them; returns at once."""
        for thread in self._threads:
            thread.start()

    def states(self) -> list[str]:
        """What each worker does: `ready`, `starting` (it loads the model) or `down`."""
        return [self._state(number) for number in range(len(self._threads))]

    def _state(self, number: int) -> str:
        process = self._processes.get(number)
        if process is None:
            return "starting"
        if process.poll() is not None:
            return "down"
        return "ready" if number in self._ready else "starting"

    def stop(self) -> None:
        """Have every worker put its job back and go; those that take too long are killed, which loses only the stage at work."""
        self._stopping.set()
        for process in list(self._processes.values()):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in list(self._processes.values()):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        for thread in self._threads:
            thread.join(1.0)

    def _watch(self, number: int) -> None:
        pause = SHORTEST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._begin(number)
            assert process.stdout is not None
            if process.stdout.readline().strip() == b"ready":
                self._ready.add(number)
            status = process.wait()
            self._ready.discard(number)
            if self._stopping.is_set():
                return
            note_crash(self.store, process.pid)
            if time.monotonic() - started > LONGEST_PAUSE:
                pause = SHORTEST_PAUSE
            logger.warning("a worker ended with status %d; it is started again in %g s", status, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _begin(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "show1.serving.worker", "--store", str(Path(self.store.folder).resolve()), *self.options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes[number] = process
        if self._stopping.is_set():  # stopped while it was being started
            process.terminate()
        return process
