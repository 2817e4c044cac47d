"""Figures for Prometheus: requests from this server's memory, jobs from the store, so that they outlive restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from show1.serving.job import CANCELLED, COMPLETED, FAILED, OPEN
from show1.serving.store import JobStore

UNKNOWN_ROUTE = "other"


class Metrics:
    """Everything that `/metrics` shows.

    Args:
        store: where jobs are.
        workers: the workers' states.
    """

    def __init__(self, store: JobStore, workers: Callable[[], list[str]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "show1_request_seconds", "Time to answer, by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self.registry.register(_Jobs(store, workers))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Jobs(Collector):
    """Jobs by state, read from the store when they are asked for."""

    def __init__(self, store: JobStore, workers: Callable[[], list[str]]) -> None:
        self.store, self.workers = store, workers

    def describe(self) -> list[Metric]:
        """Nothing: the store need not be read to register this."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        db = self.store.database.connection()
        counted = dict(db.execute("SELECT state, count(*) FROM jobs WHERE state IN (?, ?) GROUP BY state", OPEN).fetchall())
        now = GaugeMetricFamily("show1_jobs", "Jobs that are queued or in progress.", labels=["state"])
        for state in OPEN:
            now.add_metric([state], counted.get(state, 0))
        yield now
        totals = {row["state"]: row for row in db.execute("SELECT * FROM totals").fetchall()}
        ended = CounterMetricFamily("show1_jobs_ended", "Jobs that ended, by how.", labels=["state"])
        seconds = CounterMetricFamily("show1_job_seconds", "Seconds from a job's start to its end, all together.", labels=["state"])
        for state in (COMPLETED, FAILED, CANCELLED):
            row = totals.get(state)
            ended.add_metric([state], row["jobs"] if row else 0)
            seconds.add_metric([state], row["seconds"] if row else 0)
        yield ended
        yield seconds
        states = self.workers()
        working = GaugeMetricFamily("show1_workers", "Worker processes, by state.", labels=["state"])
        for state in ("ready", "starting", "down"):
            working.add_metric([state], states.count(state))
        yield working


class Timing:
    """Middleware that times every answer under the route that made it."""

    def __init__(self, app: ASGIApp, requests: Histogram) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Timed to the first byte: an event stream lasts as long as its job.
                route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)  # never the path itself: anyone can invent those
                self.requests.labels(scope["method"], route, str(status)).observe(time.perf_counter() - started)
            await send(message)

        await self.app(scope, receive, noting)
