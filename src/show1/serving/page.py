"""The web page: a prompt goes in, stages appear as they finish, and past videos stay at hand. Nothing comes from elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before it is imported

import gradio as gr
from fastapi import FastAPI

from show1.cascade.settings import STAGES
from show1.serving.files import THUMBNAIL, VARIANTS, preview_file
from show1.serving.form import TITLES, make_form, order_of
from show1.serving.job import CANCELLED, COMPLETED, FAILED, OPEN, QUEUED, Job
from show1.serving.keys import KeyStore
from show1.serving.offer import Offer
from show1.serving.refusals import RefusedError
from show1.serving.store import UNLIMITED, JobStore, Limits

if TYPE_CHECKING:
    from show1.serving.app import Parts

LOOK_SECONDS = 0.3
SHOWN_RUNS = 48
MOST_WATCHING = 64
"""Browsers that may wait for a video at a time."""
STYLE = """
.bar {height: 0.6rem; border-radius: 0.3rem; background: var(--border-color-primary); overflow: hidden; margin-top: 0.3rem}
#past .grid-container {grid-template-columns: repeat(6, 1fr)}
.bar div {height: 100%; background: var(--color-accent)}
"""


def mount_page(app: FastAPI, path: str, parts: Parts, keys: KeyStore) -> None:
    """Show the page at a path of the app; where keys are used, one logs in with a key's name and the key."""

    def log_in(name: str, key: str) -> bool:
        found = keys.check(key)
        return found is not None and found.name == name

    gr.mount_gradio_app(
        app,
        _Page(parts.store, parts.offer, keys).blocks(),
        path=path,
        auth=log_in if parts.keyed else None,
        auth_message="The name of an API key, and the key as the password." if parts.keyed else None,
        allowed_paths=[str((parts.store.folder / "videos").resolve())],
        footer_links=[],
        show_error=True,
        max_file_size=parts.max_request_bytes,
        ssr_mode=False,
        # Fonts of the system: the default theme fetches its own from elsewhere.
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
    )


class _Page:
    """The page's parts and what they do."""

    def __init__(self, store: JobStore, offer: Offer, keys: KeyStore) -> None:
        self.store, self.offer, self.keys = store, offer, keys

    def blocks(self) -> gr.Blocks:
        """The page as Gradio builds it."""
        with gr.Blocks(title="show1", analytics_enabled=False) as blocks:
            gr.Markdown("# show1\nA sentence becomes a video: keyframes first, then every stage as it finishes.")
            job = gr.State("")
            with gr.Row():
                with gr.Column(scale=2):
                    fields, make, cancel = make_form(self.offer)
                with gr.Column(scale=3):
                    status = gr.HTML(_status(None))
                    video = gr.Video(label="the video", autoplay=True, loop=True, elem_id="video", interactive=False)
            with gr.Row():
                stages = [gr.Video(label=TITLES[s], autoplay=True, loop=True, elem_id=f"stage-{s}", interactive=False) for s in STAGES]
            gallery = gr.Gallery(label="past videos", columns=6, allow_preview=False, elem_id="past", interactive=False)
            shown = gr.State([])
            started = gr.on(
                [make.click, fields[0].submit], self.make, fields, [job, status, video, *stages], concurrency_limit=MOST_WATCHING
            )
            started.then(self.past, None, [gallery, shown])
            cancel.click(self.cancel, job, None)
            gallery.select(self.show, shown, [fields[0], fields[1], status, video, *stages])
            blocks.load(self.past, None, [gallery, shown])
        return blocks

    def _who(self, request: gr.Request | None) -> tuple[str, Limits]:
        """Name and limits of the key that logged in."""
        name = getattr(request, "username", None)
        if not name:
            return "", UNLIMITED
        key = self.keys.named(name)
        if key is None:
            raise gr.Error("this API key was revoked")
        return name, key.limits

    def make(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Ask for a video and show how it comes about; the values are the form's, in its order."""
        owner, limits = self._who(request)
        try:
            order, picture = order_of(values, self.offer)
            job = self.store.add(order, owner, limits, picture=picture)
        except RefusedError as error:
            raise gr.Error(error.message, print_exception=False) from None
        yield job.id, _status(job), None, *[None] * len(STAGES)
        seen: list[str] = []
        while job.state in OPEN:
            time.sleep(LOOK_SECONDS)
            found = self.store.get(job.id, owner)
            if found is None:
                raise gr.Error("the video was deleted", print_exception=False)
            job = found
            fresh = [stage for stage in job.stages if stage not in seen]
            seen += fresh
            # What does not change is not sent again: a playing video would start anew.
            yield job.id, _status(job, self.store), gr.skip(), *[self._preview(job, s) if s in fresh else gr.skip() for s in STAGES]
        yield job.id, _status(job), self._video(job), *[gr.skip()] * len(STAGES)

    def cancel(self, job_id: str, request: gr.Request) -> None:
        """Stop the video that is being made."""
        job = self.store.get(job_id, self._who(request)[0])
        if job is not None:
            self.store.cancel(job.id)

    def past(self, request: gr.Request) -> tuple[list[tuple[str, str]], list[str]]:
        """Finished videos, newest first, as pictures; and their ids."""
        jobs, _ = self.store.page(self._who(request)[0], limit=SHOWN_RUNS)
        done = [job for job in jobs if job.state == COMPLETED and (self.store.files(job.id) / THUMBNAIL).is_file()]
        pictures = [(str(self.store.files(job.id) / THUMBNAIL), f"{job.order.prompt} · seed {job.order.seed}") for job in done]
        return pictures, [job.id for job in done]

    def show(self, ids: list[str], request: gr.Request, chosen: gr.SelectData) -> tuple[Any, ...]:
        """A past video with all its stages."""
        job = self.store.get(ids[chosen.index], self._who(request)[0])
        if job is None:
            raise gr.Error("the video was deleted", print_exception=False)
        previews = [self._preview(job, stage) if stage in job.stages else None for stage in STAGES]
        return job.order.prompt, str(job.order.seed), _status(job), self._video(job), *previews

    def _video(self, job: Job) -> str | None:
        return self._there(self.store.files(job.id) / VARIANTS["video"][0]) if job.state == COMPLETED else None

    def _preview(self, job: Job, stage: str) -> str | None:
        return self._there(preview_file(self.store.files(job.id), stage))

    def _there(self, path: Path) -> str | None:
        return str(path.resolve()) if path.is_file() else None


def _status(job: Job | None, store: JobStore | None = None) -> str:
    """One line that says how far a job is, and a bar."""
    if job is None:
        return ""
    percent = 100 if job.state == COMPLETED else min(99, int(job.progress * 100))
    if job.state == QUEUED:
        ahead = store.ahead(job) if store else 0
        line = f"waiting, {ahead} before it" if ahead else "waiting"
    elif job.state == FAILED:
        line = f"failed: {job.error_message}"
    elif job.state == COMPLETED:
        line = f"finished in {(job.completed_at or 0) - (job.started_at or 0):.0f} s · seed {job.order.seed} · {job.order.size}"
    elif job.state == CANCELLED:
        line = "cancelled"
    else:
        line = f"{TITLES.get(job.stage or '', job.stage or 'starting')} · {percent}%"
    return f'<div id="status">{escape(line)}<div class="bar"><div style="width: {percent}%"></div></div></div>'
