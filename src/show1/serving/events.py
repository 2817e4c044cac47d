"""Server-sent events of a job: its progress, each stage as it finishes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from show1.serving.answers import video
from show1.serving.job import OPEN
from show1.serving.store import JobStore

LOOK_SECONDS = 0.3
ALIVE_SECONDS = 15.0
"""A comment is sent where nothing happens for so long, so that proxies keep the connection open."""


async def follow(store: JobStore, job_id: str, stopping: Callable[[], bool], seen_stages: int = 0) -> AsyncIterator[str]:
    """A job's events until it ends, is deleted or the server stops.

    `progress` carries the video object whenever it changed; `stage` the stage and its preview's address, with the number of
    finished stages as the event's id; the last one is named `completed`, `failed`, `cancelled` or `deleted`.

    Args:
        seen_stages: stages that the client knows to be finished (from `Last-Event-ID`).
    """
    last, quiet = None, time.monotonic()
    while not stopping():
        job = await run_in_threadpool(store.get, job_id)
        if job is None:
            yield _event("deleted", {"id": job_id, "object": "video.deleted", "deleted": True})
            return
        values = video(job)
        for number in range(seen_stages, len(job.stages)):
            seen_stages, stage = number + 1, job.stages[number]
            yield _event("stage", {"stage": stage, "preview": f"/v1/videos/{job_id}/stages/{stage}"}, str(seen_stages))
        if job.state not in OPEN:
            yield _event(job.state, values)
            return
        if values != last:
            last, quiet = values, time.monotonic()
            yield _event("progress", values)
        elif time.monotonic() - quiet > ALIVE_SECONDS:
            quiet = time.monotonic()
            yield ": still there\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def _event(name: str, data: Any, event_id: str | None = None) -> str:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"
