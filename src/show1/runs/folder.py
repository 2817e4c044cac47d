"""A run's folder as a record: what was asked, what is finished, and where it is.

run.json               what was asked, with which model, settings and versions, and every finished stage with its time
keyframes.safetensors  a file for each finished stage, without loss: interpolation, pixel; latent.mkv
video.mp4              the video, when it is finished
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from show1.cascade.settings import STAGES, CascadeSettings
from show1.errors import DataError
from show1.runs.locking import is_locked, locked
from show1.runs.manifest import read_manifest, write_manifest
from show1.runs.request import Request
from show1.runs.stage_files import read_pictures, read_stage, stage_file
from show1.video import read_image, write_frames

MANIFEST = "run.json"


class RunFolder:
    """The folder of one run. It may be read while another process works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = self.read()

    def read(self) -> dict[str, Any]:
        """The manifest as it is now.

        Raises:
            DataError: missing, damaged or of a newer format.
        """
        self.manifest = read_manifest(self.folder / MANIFEST)
        return self.manifest

    def save(self, **values: Any) -> None:
        """Put values in the manifest; for whoever holds the lock."""
        self.manifest.update(values)
        write_manifest(self.folder / MANIFEST, self.manifest)

    @property
    def request(self) -> Request:
        """What was asked."""
        return Request.from_dict(self.manifest["request"])

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
        values = self.manifest.get("settings")
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

    def metadata(self) -> dict[str, Any]:
        """What the video's file says about how it was made."""
        request = self.request
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "model": self.manifest["model"]["name"] or request.model,
            **({"adapters": dict(request.adapters)} if request.adapters else {}),
            "stop_after": request.stop_after,
            "settings": self.manifest["settings"],
            "show1": self.manifest["versions"]["show1"],
        }

    def image(self) -> Image.Image | None:
        """The given first frame, where there is one."""
        if self.request.image is None:
            return None
        return read_image(self.folder / self.request.image)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one at work on the run, with the manifest as it is then.

        Raises:
            RunBusyError: somebody else is.
            DataError: the folder cannot be written.
        """
        with locked(self.folder):
            self.read()
            yield

    def is_busy(self) -> bool:
        """Whether somebody is at work on the run."""
        return is_locked(self.folder)

    def forget(self, stages: Iterable[str]) -> None:
        """Forget stages, then remove their files: a file without an entry does no harm, an entry without its file would."""
        self.save(stages={s: entry for s, entry in self.manifest["stages"].items() if s not in stages}, video=None)
        for stage in stages:
            for name in (stage_file(stage), f"preview-{stage}.mp4"):
                (self.folder / name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove files that a killed process left half written."""
        for name in ("run", *STAGES, "video"):
            for path in self.folder.glob(f".{name}-*"):
                path.unlink(missing_ok=True)


def stage_fps(settings: CascadeSettings, stage: str) -> float:
    """Frames a second of a stage's video."""
    return settings.fps / (settings.between + 1) if stage == "keyframes" else settings.fps
