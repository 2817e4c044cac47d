"""What the API says of a job, in the shapes that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

from show1.serving.job import CANCELLED, COMPLETED, FAILED, OPEN, Job
from show1.serving.offer import whole_seconds

POLL_LEAST, POLL_MOST, POLL_PER_JOB = 500, 5000, 50
"""Milliseconds a client is asked to wait before it looks again, and how many more for each job ahead of its own."""


def video(job: Job) -> dict[str, Any]:
    """A job as OpenAI's `Video`, with a few fields more.

    OpenAI's statuses know no cancelled job: it has failed with the error code `cancelled`.
    """
    order = job.order
    status = FAILED if job.state == CANCELLED else job.state
    return {
        "id": job.id,
        "object": "video",
        "created_at": int(job.created_at),
        "completed_at": int(job.completed_at) if job.completed_at and job.state == COMPLETED else None,
        "expires_at": None,
        "model": order.model,
        "status": status,
        "progress": 100 if job.state == COMPLETED else min(99, int(job.progress * 100)),
        "prompt": order.prompt,
        "remixed_from_video_id": None,
        "seconds": whole_seconds(order.frames, order.fps),
        "size": order.size,
        "error": _error(job),
        "seed": order.seed,
        "frames": order.frames,
        "fps": order.fps,
        "stage": job.stage,
        "stages": list(job.stages),
    }


def _error(job: Job) -> dict[str, str] | None:
    if job.state == CANCELLED:
        return {"code": "cancelled", "message": "the job was cancelled"}
    if job.state == FAILED:
        return {"code": job.error_code or "failed", "message": job.error_message or "the video could not be made"}
    return None


def poll_after(job: Job, ahead: int) -> dict[str, str]:
    """The header by which OpenAI's client knows when to look again."""
    if job.state not in OPEN:
        return {}
    return {"openai-poll-after-ms": str(min(POLL_MOST, POLL_LEAST + POLL_PER_JOB * ahead))}
