"""The engine behind the API: a loaded pipeline that makes a job's video in the job's run folder. Only workers import this."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from show1.runs.folder import MANIFEST
from show1.runs.request import Request
from show1.runs.run import Run
from show1.serving.files import SPRITESHEET, THUMBNAIL
from show1.serving.job import Order
from show1.video import contact_sheet, read_image, whole_file

SHEET_PICTURES, SHEET_WIDTH = 25, 192
"""Most pictures of a spritesheet, and the width of each."""


class Engine:
    """Makes videos with one pipeline, which stays loaded.

    Args:
        pipeline: a `Show1Pipeline`, on its device.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        pipeline.set_progress_bar_config(disable=True)

    def make(
        self,
        order: Order,
        folder: Path,
        picture: Path | None,
        on_progress: Callable[[float, str], object],
        on_stage: Callable[[str], object],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Make an order's video, or go on with it where an earlier attempt ended.

        Args:
            order: what to make.
            folder: the run's; made where it is missing.
            picture: file of the first frame, where one is given.
            on_progress: called with the share of the cost that is spent (0 to 1) and the stage at work.
            on_stage: called with a finished stage, when its preview can be seen.
            should_stop: asked often.

        Returns:
            Whether it is finished; False where `should_stop` said so.

        Raises:
            Show1Error: it cannot be made.
        """
        run = _open(folder, order, picture)

        def stage_done(stage: str) -> None:
            run.preview(stage)
            on_stage(stage)

        for stage in run.finished:
            stage_done(stage)  # killed between a stage's end and its preview
        state = run.advance(
            self.pipeline,
            on_progress=lambda p: on_progress(p.fraction, p.stage),
            on_stage=stage_done,
            should_stop=should_stop,
        )
        if state != "finished":
            return False
        write_pictures(run, folder)
        return True


def _open(folder: Path, order: Order, picture: Path | None) -> Run:
    if (folder / MANIFEST).exists():
        return Run.open(folder)
    shutil.rmtree(folder, ignore_errors=True)  # killed before the run was begun
    return Run.create(
        folder,
        Request(
            prompt=order.prompt,
            negative_prompt=order.negative_prompt,
            seed=order.seed,
            model=order.model,
            stop_after=order.stop_after,
            steps=order.steps,
            guidance=order.guidance,
            frames=order.whole_frames,
        ),
        read_image(picture) if picture else None,
    )


def write_pictures(run: Run, folder: Path) -> None:
    """The pictures that stand for a video: its middle frame, and a sheet of frames from first to last."""
    frames = [Image.fromarray(frame.numpy()) for frame in run.pictures(run.request.stop_after)]
    with whole_file(folder / THUMBNAIL) as partial:
        frames[len(frames) // 2].save(partial, "WEBP", quality=90)
    count = min(SHEET_PICTURES, len(frames))
    chosen = [frames[round(i * (len(frames) - 1) / max(1, count - 1))] for i in range(count)]
    scale = SHEET_WIDTH / chosen[0].width
    small = [picture.resize((SHEET_WIDTH, max(1, round(picture.height * scale))), Image.Resampling.LANCZOS) for picture in chosen]
    columns = math.ceil(count**0.5)
    with whole_file(folder / SPRITESHEET) as partial:
        contact_sheet([small[i : i + columns] for i in range(0, count, columns)], gap=0).save(partial, "JPEG", quality=88)
