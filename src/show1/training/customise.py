"""Motion and style from a clip or a few pictures: an adapter of a finished pipeline, trained by the loop that trains everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from show1.cascade.folder import BUNDLED, find_folder
from show1.data.decoding import read_facts, read_frames
from show1.data.problems import UnusableError
from show1.data.records import PICTURE_ENDINGS, Record
from show1.data.storage import Part
from show1.errors import DataError, PromptError, SettingsError
from show1.models.recogniser import luminance
from show1.text import check_prompt
from show1.training.clips import FPS, USUAL_SIZES
from show1.training.config import TrainConfig
from show1.training.recipes import Asked, make_config
from show1.training.recorded import CLIP_SECONDS
from show1.training.tasks import KEYFRAME_EVERY
from show1.video import from_uint8

FLAT = 0.1
"""A range of lightness, in [-1, 1], that does not tell a style's black from its white."""


def customize(
    kind: str,
    source: str | Path | Sequence[str | Path],
    prompt: str | None,
    output: str | Path,
    *,
    model: str | Path | None = None,
    layers: Sequence[str] | None = None,
    rank: int | None = None,
    **changes: Any,
) -> Path | None:
    """Learn a motion or a style, as an adapter of one of a pipeline's networks.

    Args:
        kind: `motion`, from one clip, or `style`, from a clip or pictures.
        source: the clip, or the pictures.
        prompt: what a motion's clip shows; None for a style, which is learned without words.
        output: the adapter's folder, not there yet.
        model: a pipeline's folder or hub id; the bundled model where not given.
        layers: groups or modules of the network that are changed; the recipe's where not given.
        rank: of each layer's change (LoRA, with peft), 0 for changes of full rank; the recipe's where not given.
        changes: keys of `TrainConfig` in place of the recipe's, such as `steps`; None leaves one as it is.

    Returns:
        The folder; None after SIGTERM. The same call goes on from where that, or anything else, stopped it; Ctrl-C keeps what was learned.

    Raises:
        DataError: a clip that cannot be used, or an output that is there.
        PromptError: a text that cannot be used.
        SettingsError: a value that cannot work, or peft is needed and not installed.
        CheckpointError: the model cannot be read.
    """
    from show1.training.loop import Trainer

    output = Path(output).resolve()
    if output.exists():
        raise DataError(f"'{output}' is there already; choose another folder for the adapter")
    places = [Path(source)] if isinstance(source, str | Path) else [Path(place) for place in source]
    if kind == "motion" and len(places) > 1:
        raise SettingsError(f"a motion is learned from one clip, not from {len(places)}")
    folder = BUNDLED if model is None else find_folder(model).resolve()
    work = output.with_name(f".{output.name}-training")
    caption = check_prompt(prompt or "").strip() if kind == "motion" else kind
    if not caption:
        raise PromptError("a motion's prompt is empty; say what its clip shows, such as: a turtle moves on the beach")
    asked = Asked(kind, prompt, "bundled" if model is None else str(model), tuple(layers) if layers else None, rank, changes)
    config = make_config(asked, folder, work / "clips.jsonl")
    for place in places:
        check_clip(place, seconds_of(config), moving=kind == "motion")
    if kind == "style":
        config = replace(config, recolour=lightness(places))
    work.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"file_name": str(place.resolve()), "caption": caption}) for place in places]
    (work / "clips.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    learned = Trainer(config, work, base=work, sprites=None).run()
    if learned is None:
        return None
    learned.rename(output)
    shutil.rmtree(work)
    return output


def seconds_of(config: TrainConfig) -> float:
    """How long a clip must be for a run."""
    return (config.frames - 1) * KEYFRAME_EVERY / FPS if config.stage == "keyframes" else CLIP_SECONDS


def lightness(places: Sequence[Path]) -> tuple[float, float]:
    """How dark and how light clips or pictures are, in [-1, 1], but for one pixel in two hundred at each end.

    Raises:
        DataError: one that cannot be decoded.
    """
    seen = []
    for place in places:
        try:
            seen.append(read_frames(contents(place), (0.0, CLIP_SECONDS / 2, CLIP_SECONDS), USUAL_SIZES.low, hold=True))
        except UnusableError as problem:
            raise DataError(f"'{place}' cannot be used: {problem}") from problem
    light = luminance(from_uint8(torch.from_numpy(np.concatenate(seen)))[None])
    low, high = np.quantile(light.numpy(), [0.005, 0.995]).tolist()
    return (low, high) if high - low > FLAT else (-1.0, 1.0)


def contents(place: Path) -> bytes:
    """A clip's or picture's file.

    Raises:
        UnusableError: it cannot be read.
    """
    return Record(str(place), Part(str(place)), "").video_bytes()


def is_picture(place: Path) -> bool:
    """Whether a file is a still picture, by its name."""
    return place.suffix.lower() in PICTURE_ENDINGS


def check_clip(place: Path, seconds: float, *, moving: bool) -> None:
    """Raise DataError for a clip or picture that nothing can be learned from."""
    if moving and is_picture(place):
        raise DataError(f"'{place}' is a picture: a motion is learned from a clip")
    try:
        facts = read_facts(contents(place))
    except UnusableError as problem:
        raise DataError(f"'{place}' cannot be used: {problem}") from problem
    if not is_picture(place) and facts.seconds + 1 / FPS < seconds:
        raise DataError(f"'{place}' lasts {facts.seconds:.2f} s; {seconds:.2f} s are needed: make it slower, or take a longer clip")
