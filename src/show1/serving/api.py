"""The routes of OpenAI's Videos API, and a few more: cancel, progress events, stage previews."""

# No `from __future__ import annotations`: FastAPI reads the routes' annotations, which name things inside `make_router`.
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from show1.cascade.settings import STAGES
from show1.serving.answers import poll_after, video
from show1.serving.bodies import read_fields
from show1.serving.events import follow
from show1.serving.files import VARIANTS, preview_file
from show1.serving.job import COMPLETED, FAILED, QUEUED, Job, is_id
from show1.serving.offer import Offer
from show1.serving.ordering import make_order
from show1.serving.pictures import read_reference
from show1.serving.refusals import RefusedError, not_found, shown
from show1.serving.store import JobStore, Limits

MOST_LISTED = 100
LONGEST_IDEMPOTENCY_KEY = 255


class Caller:
    """Who asks: the name of the key, and what it may."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits


def make_router(store: JobStore, offer: Offer, caller: Callable[..., Caller], stopping: Callable[[], bool]) -> APIRouter:
    """The API's routes.

    Args:
        store: where jobs are.
        offer: what the served model can make.
        caller: a FastAPI dependency that tells who asks, or refuses.
        stopping: whether the server is about to stop, so that streams end.
    """
    router = APIRouter(prefix="/v1")
    who = Annotated[Caller, Depends(caller)]

    def own(video_id: str, asking: who) -> Job:
        job = store.get(video_id, asking.name) if is_id(video_id) else None
        if job is None:
            raise not_found(video_id)
        return job

    job_of = Annotated[Job, Depends(own)]

    @router.post("/videos")
    async def create(request: Request, asking: who, idempotency_key: Annotated[str | None, Header()] = None) -> JSONResponse:
        if idempotency_key is not None and not 0 < len(idempotency_key) <= LONGEST_IDEMPOTENCY_KEY:
            message = f"an Idempotency-Key has 1 to {LONGEST_IDEMPOTENCY_KEY} characters, not {len(idempotency_key)}"
            raise RefusedError(400, message, "invalid_value", param="Idempotency-Key")
        fields = await read_fields(request)
        order = make_order(fields, offer)
        picture = await run_in_threadpool(read_reference, fields.pop("input_reference")) if order.picture else None
        job = await run_in_threadpool(store.add, order, asking.name, asking.limits, idempotency_key, fields, picture)
        return JSONResponse(video(job), headers=poll_after(job, await run_in_threadpool(store.ahead, job)))

    @router.get("/videos")
    def listed(
        asking: who,
        after: str | None = None,
        limit: Annotated[int, Query(ge=0, le=MOST_LISTED)] = 20,
        order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
    ) -> dict[str, Any]:
        try:
            jobs, more = store.page(asking.name, after, limit, newest_first=order == "desc")
        except KeyError:
            raise RefusedError(400, f"after: there is no video {shown(after)} to go on from", "invalid_value", param="after") from None
        first, last = (jobs[0].id, jobs[-1].id) if jobs else (None, None)
        return {"object": "list", "data": [video(job) for job in jobs], "has_more": more, "first_id": first, "last_id": last}

    @router.get("/videos/{video_id}")
    def retrieve(job: job_of) -> JSONResponse:
        ahead = store.ahead(job) if job.state == QUEUED else 0
        return JSONResponse(video(job), headers=poll_after(job, ahead))

    @router.delete("/videos/{video_id}")
    def delete(job: job_of) -> dict[str, Any]:
        store.delete(job.id)
        return {"id": job.id, "object": "video.deleted", "deleted": True}

    @router.post("/videos/{video_id}/cancel")
    def cancel(job: job_of, asking: who) -> dict[str, Any]:
        store.cancel(job.id)
        return video(own(job.id, asking))

    @router.get("/videos/{video_id}/content")
    def content(job: job_of, variant: str = "video") -> FileResponse:
        if variant not in VARIANTS:
            raise RefusedError(400, f"there is no variant {shown(variant)}; known: {', '.join(VARIANTS)}", "invalid_value", param="variant")
        if job.state != COMPLETED:
            raise RefusedError(400, f"the video is not there: {_why(job)}", "video_not_ready", param="video_id")
        name, media_type = VARIANTS[variant]
        return _file(store.files(job.id) / name, media_type, f"{job.id}-{name}")

    @router.get("/videos/{video_id}/stages/{stage}")
    def preview(job: job_of, stage: str) -> FileResponse:
        if stage not in STAGES:
            raise RefusedError(404, f"there is no stage {shown(stage)}; stages: {', '.join(STAGES)}", "stage_not_found", param="stage")
        if stage not in job.stages:
            raise RefusedError(
                404, f"'{stage}' is not finished; finished: {', '.join(job.stages) or 'none'}", "stage_not_ready", param="stage"
            )
        return _file(preview_file(store.files(job.id), stage), "video/mp4", f"{job.id}-{stage}.mp4")

    @router.get("/videos/{video_id}/events")
    def events(job: job_of, last_event_id: Annotated[str, Header()] = "") -> StreamingResponse:
        seen = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 4 else 0
        stream: AsyncIterator[str] = follow(store, job.id, stopping, seen)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    @router.get("/models")
    def models(asking: who) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": offer.name, "object": "model", "created": 0, "owned_by": "show1"}]}

    @router.post("/videos/{video_id}/remix")
    def remix(job: job_of) -> None:
        raise _not_offered("remixing a video")

    @router.post("/videos/edits")
    @router.post("/videos/extensions")
    @router.post("/videos/characters")
    def other(request: Request, asking: who) -> None:
        raise _not_offered(request.url.path.rsplit("/", 1)[-1])

    return router


def _not_offered(what: str) -> RefusedError:
    return RefusedError(400, f"{what} is not offered here: this model makes new videos from text", "not_supported")


def _why(job: Job) -> str:
    if job.state == FAILED:
        return f"the job failed ({job.error_message})"
    return f"the job is {job.state}, at {int(job.progress * 100)}%"


def _file(path: Path, media_type: str, name: str) -> FileResponse:
    if not path.is_file():
        raise RefusedError(404, "the file is gone from the server's disk; make the video again", "file_missing", param="video_id")
    return FileResponse(path, media_type=media_type, filename=name, headers={"X-Content-Type-Options": "nosniff"})
