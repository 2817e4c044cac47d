"""Ray: a pool of workers for each stage, through which runs flow; Ray on this machine alone, or a cluster that is there."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from show1.batch.workers import Plan, StageWorker
from show1.cascade.settings import STAGES
from show1.errors import Show1Error

OBJECT_STORE = 256 * 2**20
"""Bytes; only prompts and their embeddings travel through it."""


class ClusterError(Show1Error):
    """Ray is not installed, cannot be reached, or broke down."""


@dataclass(frozen=True)
class Share:
    """What one worker reserves of a cluster."""

    cpus: float
    gpus: float


def share(actors: int, cpus: float, gpus: float, on_gpu: bool) -> Share:
    """At most one CPU and one GPU a worker, and so little that all find a place and something is left for Ray itself."""
    part = min(1.0, math.floor(90 * cpus / actors) / 100)
    if not on_gpu or gpus < 1:
        return Share(max(part, 0.01), 0.0)
    return Share(max(part, 0.01), math.floor(10_000 / math.ceil(actors / gpus)) / 10_000)


@contextmanager
def connected(address: str | None, actors: int) -> Iterator[None]:
    """Ray running: as it is where this process has begun it, at an address, or embedded in this process.

    Raises:
        ClusterError: Ray is not installed or cannot be reached, or Ray Client was asked for, through which Ray Data does not work.
    """
    if address is not None and address.startswith("ray://"):
        raise ClusterError(
            f"Ray Data does not work through Ray Client ('{address}'): start the command on a machine of the cluster, with "
            "--address HOST:PORT as `ray start --head` names it"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its advice for developers
    try:
        import ray
    except ImportError:
        raise ClusterError("batches need Ray; install it with: pip install 'show1[batch]'") from None
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None:
            # CPUs are counted as Ray needs them: the workers share what there is.
            local: dict[str, Any] = {"num_cpus": actors + 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
            ray.init(address="local", **local, **quiet)
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # of many kinds: a node that is too slow to start raises a bare one
        where = "Ray cannot be started here" if address is None else f"there is no Ray cluster at '{address}' that can be reached"
        raise ClusterError(f"{where}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}") from error
    try:
        yield
    finally:
        ray.shutdown()


def flow(rows: list[dict[str, Any]], plan: Plan, workers: int) -> Iterator[dict[str, Any]]:
    """Send rows through the stages' pools; each comes back when it is finished or has failed, in no order.

    Raises:
        ClusterError: Ray broke down.
    """
    import ray

    stages = STAGES[: STAGES.index(plan.stop_after) + 1]
    known = ray.cluster_resources()
    part = share(workers * len(stages), known.get("CPU", 1.0), known.get("GPU", 0.0), plan.device is None or plan.device.startswith("cuda"))
    _quiet_data()
    data: Any = ray.data.from_items(rows, override_num_blocks=len(rows))  # a block a row: stages overlap
    for stage in stages:
        pool = ray.data.ActorPoolStrategy(size=workers)
        made = {"plan": plan, "stage": stage}
        data = data.map(StageWorker, fn_constructor_kwargs=made, compute=pool, num_cpus=part.cpus, num_gpus=part.gpus)
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the cluster broke down: {_last_line(error)}; the same command goes on") from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _quiet_data() -> None:
    """Leave the screen to our own progress bar."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
