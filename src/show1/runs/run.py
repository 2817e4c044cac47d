"""A run: a folder in which a video is made stage by stage, so that nothing finished is lost.

run.json               what was asked, with which model, settings and versions, and every finished stage with its time
keyframes.safetensors  a file for each finished stage, without loss: interpolation, pixel; latent.mkv
video.mp4              the video, when it is finished
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from show1.cascade.inputs import check_settings, upright
from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import DataError, SettingsError, Show1Error
from show1.runs.fingerprint import fingerprints
from show1.runs.manifest import FORMAT, machine, now, read_manifest, versions, write_manifest
from show1.runs.progress import Meter, Progress, StopStageError, stage_parts
from show1.runs.request import Request, image_name, stage_keys
from show1.runs.stage_files import file_entry, is_whole, read_pictures, read_stage, stage_file, write_stage
from show1.video import read_image, whole_file, write_frames

logger = logging.getLogger(__name__)

MANIFEST, LOCK = "run.json", ".lock"
LOCK_SECONDS = 1.0
"""How long to wait for a lock: somebody may only be looking whether the run is at work."""


class RunBusyError(Show1Error):
    """Another process, or another part of this one, is at work on the run."""


class Run:
    """One run's folder; see `create` and `open`. Its methods may be called while another process works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest = self.read()

    @classmethod
    def create(cls, folder: str | os.PathLike[str], request: Request, image: Image.Image | None = None) -> Run:
        """Begin a run in a new or empty folder; nothing is computed yet.

        Args:
            folder: made where it is not there.
            request: what the video is to be.
            image: its first frame, where that is given; a copy is kept in the folder.

        Raises:
            DataError: the folder holds something, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"'{folder}' is there already; choose another place for the run")
        if image is not None:
            request = replace(request, image=image_name(image))
            with whole_file(folder / str(request.image)) as partial:
                upright(image).save(partial)
        values = {"format": FORMAT, "created": now(), "state": "waiting", "request": request.with_seed().to_dict(), "stages": {}}
        write_manifest(folder / MANIFEST, values)
        return cls(folder)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """An existing run.

        Raises:
            DataError: there is none, or its manifest is damaged or of a newer format.
        """
        return cls(Path(folder))

    def read(self) -> dict[str, Any]:
        """The manifest as it is now.

        Raises:
            DataError: missing, damaged or of a newer format.
        """
        self._manifest = read_manifest(self.folder / MANIFEST)
        return self._manifest

    @property
    def request(self) -> Request:
        """What was asked."""
        return Request.from_dict(self._manifest["request"])

    @property
    def state(self) -> str:
        """waiting, running, stopped, failed or finished; a run whose process died is stopped."""
        state = self.read()["state"]
        return "stopped" if state == "running" and not self.is_busy() else state

    @property
    def finished(self) -> list[str]:
        """The finished stages, in order."""
        return [stage for stage in STAGES if stage in self.read()["stages"]]

    @property
    def video_path(self) -> Path:
        """Where the video is, or will be."""
        return self.folder / f"video{self.request.ending}"

    def settings(self, own: CascadeSettings | None = None) -> CascadeSettings:
        """The cascade's settings, which are known once the run went on, or where the model's `own` are given."""
        values = self._manifest.get("settings")
        return CascadeSettings.from_dict(values) if values and own is None else self.request.cascade(own)

    def stage(self, stage: str) -> Tensor:
        """A finished stage's video [3, F, H, W] as the network left it (keyframes, interpolation, pixel)."""
        return read_stage(self.stage_path(stage))

    def pictures(self, stage: str) -> Tensor:
        """A finished stage's 8-bit pictures [F, H, W, 3]."""
        return read_pictures(self.stage_path(stage))

    def stage_path(self, stage: str) -> Path:
        """The file of a finished stage.

        Raises:
            DataError: it is not finished.
        """
        if stage not in self.read()["stages"]:
            raise DataError(f"the stage '{stage}' of '{self.folder}' is not finished")
        return self.folder / stage_file(stage)

    def preview(self, stage: str) -> Path:
        """A finished stage as a video that browsers play (`preview-STAGE.mp4`, made when first asked for)."""
        path, source = self.folder / f"preview-{stage}.mp4", self.stage_path(stage)
        if not path.exists() or path.stat().st_mtime_ns < source.stat().st_mtime_ns:
            write_frames(self.pictures(stage), path, stage_fps(self.settings(), stage))
        return path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one at work on the run. The operating system frees it when the process ends, however it ends.

        Raises:
            RunBusyError: somebody else is.
        """
        held = FileLock(self.folder / LOCK)
        try:
            held.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise RunBusyError(f"another process is at work on '{self.folder}'") from None
        except OSError as error:
            raise DataError(f"cannot write in '{self.folder}': {error.strerror or error}") from error
        try:
            self.read()
            yield
        finally:
            held.release()

    def is_busy(self) -> bool:
        """Whether somebody is at work on the run."""
        try:
            with FileLock(self.folder / LOCK).acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written: nobody works on it
            return False

    def change(self, from_stage: str | None = None, **changes: Any) -> None:
        """Change parts of the request; `advance` then makes anew what depends on them.

        Args:
            from_stage: make this stage and all after it anew in any case.
            changes: as in `Request`; None leaves a part as it is.

        Raises:
            SettingsError: a value that cannot work.
            RunBusyError: the run is being worked on.
        """
        with self.lock():
            request = self.request.changed(**{name: value for name, value in changes.items() if value is not None})
            if from_stage is not None and from_stage not in STAGES:
                raise SettingsError(f"there is no stage '{from_stage}'; stages: {', '.join(STAGES)}")
            if "own" in self._manifest:
                request.cascade(CascadeSettings.from_dict(self._manifest["own"]))  # refused here, before anything is lost
            if from_stage is not None:
                self._drop(STAGES[STAGES.index(from_stage) :])
            self._save(request=request.to_dict(), state="waiting")

    def delete(self) -> None:
        """Remove the folder.

        Raises:
            RunBusyError: the run is being worked on.
        """
        with self.lock():
            shutil.rmtree(self.folder)

    def advance(
        self,
        pipeline: Any,
        *,
        on_progress: Callable[[Progress], object] | None = None,
        on_stage: Callable[[str], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
        texts: dict[str, Tensor] | None = None,
        until: str | None = None,
        prints: Mapping[str, str] | None = None,
    ) -> str:
        """Run the stages that are missing, then write the video. Finished stages are read, not run again.

        Where the run was stopped or killed makes no difference to the result: every stage is given what the stage
        before it left in its file, in an unbroken run too.

        Args:
            pipeline: a `Show1Pipeline`, the run's model.
            on_progress: called with a `Progress` after every pass of a network.
            on_stage: called with a stage's name as soon as its file is written.
            should_stop: asked after every pass; where it says yes, the stage at work is left, and is begun anew next time.
            texts: the prompts' T5 embeddings by the names of the pipeline's arguments; made, and put in, where it is empty.
                Runs of the same prompts and settings can share one.
            until: a stage to go no further than for now, and no check beyond it: the networks of other stages can be outlines
                then (the manifest says what the earlier ones were made with).
            prints: the pipeline's `fingerprints`, where they are known already.

        Returns:
            The state: `finished`, or `stopped` where `should_stop` or `until` said so.

        Raises:
            RunBusyError: somebody else is at work on the run.
            Show1Error: what is wrong; the state is then `failed`.
        """
        with self.lock():
            started = time.perf_counter()
            state: dict[str, Any] = {"state": "stopped"}
            try:
                self._clean()
                self._prepare(pipeline, fingerprints(pipeline) if prints is None else prints)
                last = until or self.request.stop_after
                self._make(pipeline, last, on_progress, on_stage or (lambda stage: None), should_stop, {} if texts is None else texts)
                if last == self.request.stop_after:
                    state = {"state": "finished", "finished": now()}
            except StopStageError:
                pass
            except Exception as error:
                state = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
                raise
            finally:
                with suppress(DataError):  # on a full disk the error that led here says more
                    self._save(**state, seconds=round(self._manifest.get("seconds", 0.0) + time.perf_counter() - started, 3))
            return str(state["state"])

    def _prepare(self, pipeline: Any, prints: Mapping[str, str]) -> None:
        """Fix settings and model in the manifest, and drop the stages that no longer follow from them."""
        own = self._manifest.get("own") or pipeline.settings.to_dict()
        settings = self.request.cascade(CascadeSettings.from_dict(own))
        check_settings(settings, pipeline.components, self.request.stop_after)
        prints = {**self._manifest.get("model", {}).get("components", {}), **prints}  # where stages are made apart, those of others
        keys = stage_keys(self.request, settings, prints)
        finished = self._manifest["stages"]
        stale = [s for s in finished if s in keys and (finished[s]["key"] != keys[s] or not is_whole(self.folder, finished[s]))]
        if stale:
            logger.warning("made anew, because the settings, the model or the files changed: %s", ", ".join(stale))
            self._drop(STAGES[min(STAGES.index(s) for s in stale) :])
        self._manifest.pop("error", None)
        dtype = str(pipeline.keyframes_unet.dtype).removeprefix("torch.")
        self._save(
            state="running",
            process=os.getpid(),
            own=own,
            settings=settings.to_dict(),
            keys=keys,
            model={"name": str(pipeline.config.get("_name_or_path", "")), "dtype": dtype, "components": prints},
            machine=machine(pipeline._execution_device),
            versions=versions(),
        )

    def _make(
        self,
        pipeline: Any,
        last: str,
        on_progress: Any,
        on_stage: Callable[[str], object],
        should_stop: Any,
        texts: dict[str, Tensor],
    ) -> None:
        request, settings = self.request, self.settings()
        wanted = STAGES[: STAGES.index(last) + 1]
        parts = stage_parts(pipeline, settings, self.request.image is not None)
        meter = Meter({stage: parts[stage] for stage in wanted}, on_progress, should_stop)
        done = [stage for stage in wanted if stage in self._manifest["stages"]]
        for stage in done:
            meter.skip(stage)
        for stage in wanted[len(done) :]:
            with meter.watching(stage):
                self._make_stage(pipeline, stage, settings, texts)
            on_stage(stage)
        if last == request.stop_after:
            self._write_video(meter)

    def _make_stage(self, pipeline: Any, stage: str, settings: CascadeSettings, texts: dict[str, Tensor]) -> None:
        request, index = self.request, STAGES.index(stage)
        given = {} if index == 0 else {STAGES[index - 1]: self.stage(STAGES[index - 1]).unsqueeze(0)}
        started = time.perf_counter()
        if stage != "latent" and not texts:  # once for all pixel stages: T5 may be loaded for it
            texts.update(encode_texts(pipeline, request, settings))
        options = {
            "seed": request.seed,
            "given": given,
            "image": self._image(),
            "settings": settings,
            "stop_after": stage,
            "output_type": "pt",
        }
        made = pipeline(request.prompt, request.negative_prompt, **options, **texts)
        path = self.folder / stage_file(stage)
        write_stage(path, made.stages()[stage][0], stage_fps(settings, stage))
        entry = {
            "key": self._manifest["keys"][stage],
            **file_entry(path),
            "seconds": round(time.perf_counter() - started, 3),
            "finished": now(),
        }
        self._save(stages={**self._manifest["stages"], stage: entry})

    def _write_video(self, meter: Meter) -> None:
        """The last stage's pictures as a video, unless that very video is there."""
        request, settings = self.request, self.settings()
        key = [self._manifest["keys"][request.stop_after], self.metadata(), request.ending]
        entry = self._manifest.get("video")
        if entry is None or entry["key"] != key or not is_whole(self.folder, entry):
            meter.writing(0.0)
            started = time.perf_counter()
            write_frames(self.pictures(request.stop_after), self.video_path, stage_fps(settings, request.stop_after), self.metadata())
            self._save(video={"key": key, **file_entry(self.video_path), "seconds": round(time.perf_counter() - started, 3)})
        if request.output is not None:
            with whole_file(self.folder / request.output) as partial:
                shutil.copyfile(self.video_path, partial)
        meter.writing(1.0)

    def metadata(self) -> dict[str, Any]:
        """What the video's file says about how it was made."""
        request = self.request
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "model": self._manifest["model"]["name"] or request.model,
            **({"adapters": dict(request.adapters)} if request.adapters else {}),
            "stop_after": request.stop_after,
            "settings": self._manifest["settings"],
            "show1": self._manifest["versions"]["show1"],
        }

    def _image(self) -> Image.Image | None:
        if self.request.image is None:
            return None
        return read_image(self.folder / self.request.image)

    def _drop(self, stages: tuple[str, ...]) -> None:
        """Forget stages, then remove their files: a file without an entry does no harm, an entry without its file would."""
        self._save(stages={s: entry for s, entry in self._manifest["stages"].items() if s not in stages}, video=None)
        for stage in stages:
            for name in (stage_file(stage), f"preview-{stage}.mp4"):
                (self.folder / name).unlink(missing_ok=True)

    def _clean(self) -> None:
        """Remove files that a killed process left half written."""
        for name in ("run", *STAGES, "video"):
            for path in self.folder.glob(f".{name}-*"):
                path.unlink(missing_ok=True)

    def _save(self, **values: Any) -> None:
        self._manifest.update(values)
        write_manifest(self.folder / MANIFEST, self._manifest)


def encode_texts(pipeline: Any, request: Request, settings: CascadeSettings) -> dict[str, Tensor]:
    """T5 embeddings [1, L, D] of a request's prompts, by the names of the pipeline's arguments."""
    negative = request.negative_prompt or ""
    made = pipeline.encode_prompt([request.prompt], [negative], max_text_tokens=settings.max_text_tokens)
    return dict(zip(("prompt_embeds", "negative_prompt_embeds"), made, strict=True))


def stage_fps(settings: CascadeSettings, stage: str) -> float:
    """Frames a second of a stage's video."""
    return settings.fps / (settings.between + 1) if stage == "keyframes" else settings.fps


def find_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """The runs in the folders directly under a folder, newest first; folders that hold no readable run are left out."""
    found = []
    for path in sorted(Path(folder).glob(f"*/{MANIFEST}")):
        try:
            found.append(Run.open(path.parent))
        except DataError:
            continue
    return sorted(found, key=lambda run: run._manifest["created"], reverse=True)
