"""What the served model can make, read from its folder without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from show1.cascade.settings import PUBLISHED, STAGES, CascadeSettings
from show1.errors import CheckpointError

BUNDLED = Path(__file__).resolve().parent.parent / "bundled"


@dataclass(frozen=True)
class Offer:
    """A model's name and what its videos are like."""

    name: str
    location: str | None
    """What a pipeline is loaded by: a folder or a hub id, `published`, or None for the bundled model."""
    settings: CascadeSettings
    vocabulary: Mapping[str, list[str]] = field(default_factory=dict)
    most_seconds: int = 12
    """The longest video that may be asked for."""

    def sizes(self) -> dict[str, str]:
        """Width x height -> the last stage to run for it; a later stage of the same size comes before an earlier one."""
        return {f"{width}x{height}": stage for stage, (width, height) in self.settings.stage_sizes().items()}

    def size_after(self, stage: str) -> str:
        """Width x height of the videos of a stage."""
        width, height = self.settings.stage_sizes()[stage]
        return f"{width}x{height}"

    def frames_after(self, stage: str, whole_frames: int | None = None) -> int:
        """Frames of the videos of a stage, where all stages make `whole_frames` (the model's own number where None)."""
        settings = self.settings if whole_frames is None else self.settings.with_frames(whole_frames)
        return settings.num_keyframes if stage == STAGES[0] else len(settings.frame_times())

    def fps_after(self, stage: str) -> float:
        """Frames a second of the videos of a stage."""
        return self.settings.fps / (self.settings.between + 1) if stage == STAGES[0] else self.settings.fps

    def seconds(self) -> str:
        """How long a video is where nothing else is asked for, in whole seconds as OpenAI's API counts."""
        return whole_seconds(len(self.settings.frame_times()), self.settings.fps)

    def frames_for(self, seconds: int) -> int:
        """The number of frames that comes nearest to so many seconds: keyframes lie `between + 1` frames apart."""
        apart = self.settings.between + 1
        return max(1, round((seconds * self.settings.fps - 1) / apart)) * apart + 1


def whole_seconds(frames: int, fps: float) -> str:
    """Length in whole seconds, 1 at least."""
    return str(max(1, round(frames / fps)))


def read_offer(model: str | None) -> Offer:
    """What a model can make.

    Args:
        model: a pipeline's folder or hub id, `bundled` (or None) or `published`.

    Raises:
        CheckpointError: there is no such model.
    """
    if model == "published":
        return Offer("published", model, PUBLISHED)
    if model in (None, "bundled"):
        return _from_index("bundled", None, BUNDLED / "model_index.json")
    assert model is not None
    if Path(model).is_dir():
        return _from_index(Path(model).resolve().name, str(Path(model).resolve()), Path(model) / "model_index.json")
    return _from_index(model, model, _from_hub(model))


def _from_hub(name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(name, "model_index.json"))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(f"'{name}' is no folder here, and no pipeline on the hub that can be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _from_index(name: str, location: str | None, path: Path) -> Offer:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"'{path.parent}' is no pipeline's folder: model_index.json cannot be read ({error})") from error
    settings = values.get("settings")
    return Offer(name, location, CascadeSettings.from_dict(settings) if settings else PUBLISHED, values.get("vocabulary") or {})
