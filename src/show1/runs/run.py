"""A run: a video made stage by stage in a folder, so that nothing finished is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from show1.allocator import kept_freed_memory
from show1.cascade.inputs import upright
from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import DataError, SettingsError
from show1.runs.fingerprint import fingerprints
from show1.runs.folder import MANIFEST, RunFolder
from show1.runs.making import Making
from show1.runs.manifest import FORMAT, now, write_manifest
from show1.runs.progress import Progress
from show1.runs.request import Request, image_name
from show1.video import whole_file


class Run(RunFolder):
    """One run; see `create` and `open`. Its methods may be called while another process works on it."""

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
            if "own" in self.manifest:
                request.cascade(CascadeSettings.from_dict(self.manifest["own"]))  # refused here, before anything is lost
            if from_stage is not None:
                self.forget(STAGES[STAGES.index(from_stage) :])
            self.save(request=request.to_dict(), state="waiting")

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
        memory: int | None = None,
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
            memory: bytes that it is to stay within, for the manifest: `show1 resume` keeps to them too.

        Returns:
            The state: `finished`, or `stopped` where `should_stop` or `until` said so.

        Raises:
            RunBusyError: somebody else is at work on the run.
            Show1Error: what is wrong; the state is then `failed`.
        """
        making = Making(self, pipeline, {} if texts is None else texts, until, on_stage, memory)
        with kept_freed_memory():
            return making.advance(fingerprints(pipeline) if prints is None else prints, on_progress, should_stop)
