"""Motion and style from a clip or a few pictures: an adapter of a finished pipeline, trained by the loop that trains everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from show1 import __version__
from show1.cascade.folder import BUNDLED, best_device, best_dtype, find_folder
from show1.cascade.settings import CascadeSettings
from show1.data.decoding import read_facts
from show1.data.problems import UnusableError
from show1.data.records import PICTURE_ENDINGS, Record
from show1.data.storage import Part
from show1.errors import DataError, SettingsError
from show1.models.loading import read_json
from show1.text import check_prompt
from show1.training.clips import FPS, USUAL_SIZES
from show1.training.config import AdapterConfig, DataConfig, TrainConfig
from show1.training.tasks import KEYFRAME_EVERY

STILL_FRAMES = 2
"""Frames that a network is shown of a picture: what stands still needs no more to be seen, and the time is better spent on more pictures."""
USUAL: dict[str, Any] = {
    "stage": "keyframes",
    "warmup_steps": 10,
    "weight_decay": 0.0,
    "ema_decay": 0.99,
    "min_snr_gamma": 0,
    "temporal_dropout": 0.0,
    "log_with": (),
    "checkpoint_every": 50,
    "keep_checkpoints": 1,
}
MOTION: dict[str, Any] = {"steps": 300, "batch_size": 1, "learning_rate": 2e-3, "min_timestep": 300, "moving_weight": 8.0}
STYLE: dict[str, Any] = {"steps": 350, "batch_size": 4, "learning_rate": 1.5e-3}
KINDS = ("motion", "style")


def recipe(kind: str, network: Mapping[str, Any]) -> tuple[AdapterConfig, dict[str, Any]]:
    """What changes in a keyframe network with this config, and how it is learned where nobody says otherwise.

    A motion changes the attention over time, as the Show-1 paper does. In a network that is told each frame's moment, the moments' layers
    tell the others where to draw things, so that these change too. A style changes the layers at the pictures' own resolution, in full:
    what is to be seen is decided further in. `benchmarks/customise.py` measures what comes of it.
    """
    if kind == "style":
        return AdapterConfig(layers=surface(len(network["block_out_channels"])), rank=0), STYLE
    if network.get("class_embed_type") == "timestep":
        rates = {"temporal-attention": MOTION["learning_rate"] / 2}  # at the whole rate it learns the clip's object and place too
        return AdapterConfig(layers=("moments", "temporal-attention")), {**MOTION, "layout_weight": 1.0, "rates": rates}
    return AdapterConfig(layers=("temporal-attention",)), MOTION


def surface(levels: int) -> tuple[str, ...]:
    """The modules that see single pictures at their own resolution, in a network of so many levels."""
    return "conv_in", "down_blocks.0.resnets", f"up_blocks.{levels - 1}.resnets", "conv_out"


def customize(
    kind: str,
    source: str | Path | Sequence[str | Path],
    prompt: str,
    output: str | Path,
    *,
    model: str | Path | None = None,
    layers: Sequence[str] | None = None,
    rank: int | None = None,
    **changes: Any,
) -> Path | None:
    """Learn a motion or a style, as an adapter of a pipeline's keyframe network.

    Args:
        kind: `motion`, from one clip, or `style`, from a clip or pictures.
        source: the clip, or the pictures.
        prompt: what they show, but those that have a caption of their own in a .txt file beside them.
        output: the adapter's folder, not there yet.
        model: a pipeline's folder or hub id; the bundled model where not given.
        layers: groups or modules of the network that are changed; the recipe's where not given.
        rank: of each layer's change (LoRA, with peft), 0 for changes of full rank; the recipe's where not given.
        changes: keys of `TrainConfig` in place of the recipe's, such as `steps`; None leaves one as it is.

    Returns:
        The folder; None after SIGTERM. The same call goes on from where that, or anything else, stopped it; Ctrl-C keeps what was learned.

    Raises:
        DataError: a clip that cannot be used, or an output that is there.
        SettingsError: a value that cannot work, or peft is needed and not installed.
        CheckpointError: the model cannot be read.
    """
    from show1.training.loop import Trainer

    output = Path(output).resolve()
    if output.exists():
        raise DataError(f"'{output}' is there already; choose another folder for the adapter")
    places = [Path(source)] if isinstance(source, str | Path) else [Path(place) for place in source]
    folder = BUNDLED if model is None else find_folder(model).resolve()
    work = output.with_name(f".{output.name}-training")
    chosen = {"layers": layers and tuple(layers), "rank": rank}
    if all(map(is_picture, places)):
        changes = {"frames": STILL_FRAMES, **changes}
    config = make_config(kind, prompt, folder, work / "clips.jsonl", "bundled" if model is None else str(model), chosen, changes)
    seconds = (config.frames - 1) * KEYFRAME_EVERY / FPS
    for place in places:
        check_clip(place, seconds, moving=kind == "motion")
    if kind == "motion" and len(places) > 1:
        raise SettingsError(f"a motion is learned from one clip, not from {len(places)}")
    work.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"file_name": str(place.resolve()), "caption": caption_of(place, prompt)}) for place in places]
    (work / "clips.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    final = Trainer(config, work, base=work, sprites=None).run()
    if final is None:
        return None
    final.rename(output)
    shutil.rmtree(work)
    return output


def make_config(
    kind: str, prompt: str, folder: Path, source: Path, name: str, chosen: dict[str, Any], changes: dict[str, Any]
) -> TrainConfig:
    """The run that learns a motion or a style from the clips that `source` lists, for the pipeline in `folder`, called `name`.

    `chosen` are the adapter's layers and rank, `changes` keys of `TrainConfig`; None leaves one as the recipe has it.

    Raises:
        SettingsError: no such kind, or a value that cannot work.
    """
    if kind not in KINDS:
        raise SettingsError(f"cannot learn a '{kind}'; known: {', '.join(KINDS)}")
    adapter, usual = recipe(kind, read_json(folder / "keyframes_unet" / "config.json"))
    if changes.get("learning_rate") and "rates" in usual:  # groups keep their share of the learning rate
        times = changes["learning_rate"] / usual["learning_rate"]
        usual = {**usual, "rates": {group: rate * times for group, rate in usual["rates"].items()}}
    settings = CascadeSettings.from_dict(read_json(folder / "model_index.json")["settings"])
    about = {"kind": kind, "prompt": prompt, "base_model": name, "show1": __version__}
    start = {part: str(folder / f"keyframes_{end}") for part, end in (("network", "unet"), ("scheduler", "scheduler"))}
    start |= {part: str(folder / part) for part in ("text_encoder", "tokenizer")}
    buckets = None if settings.keyframe_size == USUAL_SIZES.low else (settings.keyframe_size,)
    values: dict[str, Any] = {
        "precision": usual_precision(),
        "frames": min(settings.num_keyframes, settings.keyframe_window),
        "text_tokens": settings.max_text_tokens,
        "start": start,
        "data": DataConfig(source=str(source), buckets=buckets),
        "adapter": replace(adapter, about=about, **given(chosen)),
    }
    return TrainConfig(**{**USUAL, **usual, **values, **given(changes)})


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def usual_precision() -> str:
    """bf16 where the device multiplies in it."""
    device = best_device()
    quick = torch.cuda.is_bf16_supported() if device.type == "cuda" else best_dtype(device) == torch.bfloat16
    return "bf16" if quick else "no"


def is_picture(place: Path) -> bool:
    """Whether a file is a still picture, by its name."""
    return place.suffix.lower() in PICTURE_ENDINGS


def caption_of(place: Path, prompt: str) -> str:
    """The caption in the .txt file beside a clip or picture, where there is one, else the prompt.

    Raises:
        DataError: the file cannot be read.
        PromptError: the text cannot be used.
    """
    beside = place.with_suffix(".txt")
    try:
        return check_prompt(beside.read_text(encoding="utf-8").strip() if beside.is_file() else prompt)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the caption '{beside}': {error}") from error


def check_clip(place: Path, seconds: float, *, moving: bool) -> None:
    """Raise DataError for a clip or picture that nothing can be learned from."""
    if moving and is_picture(place):
        raise DataError(f"'{place}' is a picture: a motion is learned from a clip")
    try:
        facts = read_facts(Record(str(place), Part(str(place)), "").video_bytes())
    except UnusableError as problem:
        raise DataError(f"'{place}' cannot be used: {problem}") from problem
    if not is_picture(place) and facts.seconds + 1 / FPS < seconds:
        raise DataError(f"'{place}' lasts {facts.seconds:.2f} s; keyframes need {seconds:.2f} s: make it slower, or take a longer clip")
