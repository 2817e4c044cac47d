"""A worker: a process with one loaded model that makes the jobs of a store, one after the other.

`python -m show1.serving.worker --store FOLDER` is started by the server, which keeps the worker's standard input open: when
that closes, the server is dead and the worker goes at once. SIGTERM asks it to put its job back and go.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from show1.errors import Show1Error
from show1.serving.claims import Claim, claim
from show1.serving.job import Order
from show1.serving.offer import Offer, read_offer
from show1.serving.store import JobStore

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.2
REPORT_SECONDS = 0.25
"""How often the store is asked for a job, and told how far one is."""


class Maker(Protocol):
    """What a worker makes videos with; see `show1.serving.engine.Engine`."""

    def make(
        self,
        order: Order,
        folder: Path,
        picture: Path | None,
        on_progress: Callable[[float, str], object],
        on_stage: Callable[[str], object],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Make an order's video in a folder; False where it was stopped."""


class Worker:
    """Takes up jobs until it is stopped.

    Args:
        store: the jobs.
        model: name of the model it makes them with.
        maker: makes one.
    """

    def __init__(self, store: JobStore, model: str, maker: Maker) -> None:
        self.store, self.model, self.maker = store, model, maker
        self.stopping = threading.Event()

    def run(self) -> None:
        """Work until `stopping` is set."""
        while not self.stopping.is_set():
            taken = claim(self.store, self.model)
            if taken is None:
                self.stopping.wait(IDLE_SECONDS)
            else:
                self.work(taken)

    def work(self, taken: Claim) -> None:
        """Make one job's video, or go on with it, and write down how it ended."""
        report = _Report(taken, self.stopping)
        try:
            finished = not report.cancelled and self._make(taken, report)
        except Show1Error as error:
            taken.fail("generation_failed", str(error))
        except Exception:
            logger.exception("job %s failed", taken.job.id)
            taken.fail("internal_error", "the video could not be made because of an error in the server; its log says more")
        else:
            if finished:
                taken.complete()
            elif report.cancelled:
                taken.stopped()
            else:
                taken.put_back()

    def _make(self, taken: Claim, report: _Report) -> bool:
        order, job_id = taken.job.order, taken.job.id
        picture = self.store.picture(job_id) if order.picture else None
        return self.maker.make(order, self.store.files(job_id), picture, report.progress, taken.stage_done, report.should_stop)


class _Report:
    """Tells the store how far a job is, not too often, and whether the job should stop."""

    def __init__(self, taken: Claim, stopping: threading.Event) -> None:
        self.taken, self.stopping = taken, stopping
        self.cancelled = taken.job.stop_wanted
        self.last = 0.0
        self.stage = ""

    def progress(self, fraction: float, stage: str) -> None:
        now = time.monotonic()
        if stage != self.stage or now - self.last >= REPORT_SECONDS:
            self.last, self.stage = now, stage
            try:
                self.cancelled = self.taken.report(fraction, stage) or self.cancelled
            except sqlite3.OperationalError as error:  # no reason to lose a job: the next report may get through
                logger.warning("how far job %s is could not be written down: %s", self.taken.job.id, error)

    def should_stop(self) -> bool:
        return self.cancelled or self.stopping.is_set()


def _load(offer: Offer, device: str | None, dtype: str | None, threads: int | None, *, compiled: bool) -> Any:
    import torch

    from show1.cascade.loading import load_model, quiet_libraries
    from show1.serving.engine import Engine

    quiet_libraries()
    if threads:
        torch.set_num_threads(threads)
    return Engine(load_model(offer.location, device, dtype, compiled=compiled))


def _leave_with_server() -> None:
    """Die with the server, whatever it died of: nobody would read what is made, and another worker takes the job up."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the worker's process."""
    parser = argparse.ArgumentParser(description="A worker of `show1 serve`, which starts it.")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    _leave_with_server()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which tells its workers
    try:
        offer = read_offer(chosen.model)
        engine = _load(offer, chosen.device, chosen.dtype, chosen.threads, compiled=chosen.compile)
        worker = Worker(JobStore(chosen.store), offer.name, engine)
    except Show1Error as error:
        sys.exit(f"error: {error}")
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
    print("ready", flush=True)
    worker.run()


if __name__ == "__main__":
    main()
