"""Making what is missing of a run: stage after stage, each from the file that the one before left, then the video."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor

from show1.cascade.inputs import check_settings
from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import DataError
from show1.runs.folder import RunFolder, stage_fps
from show1.runs.manifest import machine, now, versions
from show1.runs.progress import Meter, Progress, StopStageError, stage_parts
from show1.runs.request import Request, stage_keys
from show1.runs.stage_files import file_entry, is_whole, stage_file, write_stage
from show1.video import whole_file, write_frames

logger = logging.getLogger(__name__)

Report = Callable[[Progress], object]


class Making:
    """One go at a run's missing stages; the arguments are those of `Run.advance`."""

    def __init__(
        self,
        run: RunFolder,
        pipeline: Any,
        texts: dict[str, Tensor],
        until: str | None = None,
        on_stage: Callable[[str], object] | None = None,
        memory: int | None = None,
    ) -> None:
        self.run, self.pipeline, self.texts = run, pipeline, texts
        self.until, self.on_stage = until, on_stage or (lambda stage: None)
        self.memory = memory

    def advance(self, prints: Mapping[str, str], on_progress: Report | None, should_stop: Callable[[], bool] | None) -> str:
        """Make what is missing and write down how it ended; see `Run.advance`."""
        with self.run.lock():
            started = time.perf_counter()
            state: dict[str, Any] = {"state": "stopped"}
            try:
                self.run.clean()
                self._prepare(prints)
                if self._make(on_progress, should_stop):
                    state = {"state": "finished", "finished": now()}
            except StopStageError:
                pass
            except Exception as error:
                state = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
                raise
            finally:
                with suppress(DataError):  # on a full disk the error that led here says more
                    self.run.save(**state, seconds=round(self.run.manifest.get("seconds", 0.0) + time.perf_counter() - started, 3))
            return str(state["state"])

    def _prepare(self, prints: Mapping[str, str]) -> None:
        """Fix settings and model in the manifest, and forget the stages that no longer follow from them."""
        run, pipeline = self.run, self.pipeline
        own = run.manifest.get("own") or pipeline.settings.to_dict()
        settings = run.request.cascade(CascadeSettings.from_dict(own))
        check_settings(settings, pipeline.components, run.request.stop_after)
        prints = {**run.manifest.get("model", {}).get("components", {}), **prints}  # where stages are made apart, those of others
        keys = stage_keys(run.request, settings, prints)
        self._forget_stale(keys)
        run.manifest.pop("error", None)
        dtype = str(pipeline.keyframes_unet.dtype).removeprefix("torch.")
        run.save(
            state="running",
            process=os.getpid(),
            own=own,
            settings=settings.to_dict(),
            keys=keys,
            model={"name": str(pipeline.config.get("_name_or_path", "")), "dtype": dtype, "components": prints},
            machine=machine(pipeline._execution_device) | ({} if self.memory is None else {"memory": self.memory}),
            versions=versions(),
        )

    def _forget_stale(self, keys: Mapping[str, str]) -> None:
        finished = self.run.manifest["stages"]
        stale = [s for s in finished if s in keys and (finished[s]["key"] != keys[s] or not is_whole(self.run.folder, finished[s]))]
        if stale:
            logger.warning("made anew, because the settings, the model or the files changed: %s", ", ".join(stale))
            self.run.forget(STAGES[min(STAGES.index(s) for s in stale) :])

    def _make(self, on_progress: Report | None, should_stop: Callable[[], bool] | None) -> bool:
        """Make the missing stages; whether the video is there then."""
        request, settings = self.run.request, self.run.settings()
        wanted = STAGES[: STAGES.index(self.until or request.stop_after) + 1]
        parts = stage_parts(self.pipeline, settings, request.image is not None)
        meter = Meter({stage: parts[stage] for stage in wanted}, on_progress, should_stop)
        for stage in wanted:
            if stage in self.run.manifest["stages"]:
                meter.skip(stage)
                continue
            with meter.watching(stage):
                self._make_stage(stage, request, settings)
            self.on_stage(stage)
        if wanted[-1] != request.stop_after:
            return False
        self._write_video(meter)
        return True

    def _make_stage(self, stage: str, request: Request, settings: CascadeSettings) -> None:
        run, index = self.run, STAGES.index(stage)
        given = {} if index == 0 else {STAGES[index - 1]: run.stage(STAGES[index - 1]).unsqueeze(0)}
        started = time.perf_counter()
        if stage != "latent" and not self.texts:  # once for all pixel stages: T5 may be loaded for it
            self.texts.update(encode_texts(self.pipeline, request, settings))
        options = {
            "seed": request.seed,
            "given": given,
            "image": run.image(),
            "settings": settings,
            "stop_after": stage,
            "output_type": "pt",
        }
        made = self.pipeline(request.prompt, request.negative_prompt, **options, **self.texts)
        path = run.folder / stage_file(stage)
        write_stage(path, made.stages()[stage][0], stage_fps(settings, stage))
        entry = {
            "key": run.manifest["keys"][stage],
            **file_entry(path),
            "seconds": round(time.perf_counter() - started, 3),
            "finished": now(),
        }
        run.save(stages={**run.manifest["stages"], stage: entry})

    def _write_video(self, meter: Meter) -> None:
        """The last stage's pictures as a video, unless that very video is there."""
        run, request = self.run, self.run.request
        key = [run.manifest["keys"][request.stop_after], run.metadata(), request.ending]
        entry = run.manifest.get("video")
        if entry is None or entry["key"] != key or not is_whole(run.folder, entry):
            meter.writing(0.0)
            started = time.perf_counter()
            write_frames(run.pictures(request.stop_after), run.video_path, stage_fps(run.settings(), request.stop_after), run.metadata())
            run.save(video={"key": key, **file_entry(run.video_path), "seconds": round(time.perf_counter() - started, 3)})
        if request.output is not None:
            with whole_file(run.folder / request.output) as partial:
                shutil.copyfile(run.video_path, partial)
        meter.writing(1.0)


def encode_texts(pipeline: Any, request: Request, settings: CascadeSettings) -> dict[str, Tensor]:
    """T5 embeddings [1, L, D] of a request's prompts, by the names of the pipeline's arguments."""
    negative = request.negative_prompt or ""
    made = pipeline.encode_prompt([request.prompt], [negative], max_text_tokens=settings.max_text_tokens)
    return dict(zip(("prompt_embeds", "negative_prompt_embeds"), made, strict=True))
