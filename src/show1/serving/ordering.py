"""From a request's fields to an order: everything is checked before a job is accepted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from show1.cascade.settings import STAGES
from show1.errors import PromptError, SettingsError
from show1.prompt import check_prompt
from show1.serving.job import Order
from show1.serving.offer import Offer
from show1.serving.refusals import RefusedError, shown

FIELDS = ("prompt", "model", "seconds", "size", "seed", "negative_prompt", "stop_after", "steps", "guidance", "input_reference")
LARGEST_SEED = 2**63 - 2


def make_order(fields: Mapping[str, Any], offer: Offer) -> Order:
    """An order from the fields of a JSON or multipart body.

    Args:
        fields: as sent; numbers may be text. Fields that are None count as not sent.
        offer: what the served model can make.

    Raises:
        RefusedError: a field is missing, unknown, or has a value that this model cannot serve (400).
    """
    given = {name: value for name, value in fields.items() if value is not None}
    for name in given:
        if name not in FIELDS:
            raise _bad(name, f"unknown parameter {shown(name)}; known: {', '.join(FIELDS)}", code="unknown_parameter")
    _check_model(given.get("model"), offer)
    prompt = _prompt(given)
    stage = _last_stage(given.get("size"), given.get("stop_after"), offer)
    whole_frames = _whole_frames(given.get("seconds"), offer)
    steps, guidance = (_numbers(name, given.get(name), kind) for name, kind in (("steps", int), ("guidance", float)))
    _check_samplers(offer, steps, guidance)
    return Order(
        model=offer.name,
        prompt=prompt,
        seed=_seed(given.get("seed")),
        negative_prompt=_text("negative_prompt", given["negative_prompt"]) if "negative_prompt" in given else None,
        stop_after=stage,
        steps=steps,
        guidance=guidance,
        size=offer.size_after(stage),
        frames=offer.frames_after(stage, whole_frames),
        fps=offer.fps_after(stage),
        whole_frames=whole_frames,
        picture="input_reference" in given,
    )


def _bad(name: str, message: str, *, code: str = "invalid_value") -> RefusedError:
    return RefusedError(400, message, code, param=name[:64].encode("ascii", "backslashreplace").decode())


def _text(name: str, value: Any) -> str:
    try:
        return check_prompt(value)
    except PromptError as error:
        raise _bad(name, f"{name}: {error}") from error


def _prompt(given: Mapping[str, Any]) -> str:
    if "prompt" not in given:
        raise _bad("prompt", "prompt is missing: say what the video shows", code="missing_required_parameter")
    prompt = _text("prompt", given["prompt"])
    if not prompt.strip():
        raise _bad("prompt", "prompt is empty: say what the video shows")
    return prompt


def _check_model(model: Any, offer: Offer) -> None:
    if model not in (None, "", offer.name):
        raise _bad("model", f"there is no model {shown(model)} here; this server has '{offer.name}'", code="model_not_found")


def _last_stage(size: Any, stop_after: Any, offer: Offer) -> str:
    """The stage to stop after, from the size wanted, from `stop_after`, or the last."""
    if stop_after is not None and stop_after not in STAGES:
        raise _bad("stop_after", f"cannot stop after {shown(stop_after)}; stages: {', '.join(STAGES)}")
    if size is None:
        return stop_after or STAGES[-1]
    stages = offer.sizes()
    if not isinstance(size, str) or size not in stages:
        raise _bad("size", f"this model cannot make {shown(size)}; its sizes: {', '.join(reversed(stages))}")
    if stop_after is not None and offer.size_after(stop_after) != size:
        raise _bad("size", f"after '{stop_after}' videos are {offer.size_after(stop_after)}, not {size}; give one of size and stop_after")
    return stop_after or stages[size]


def _whole_frames(seconds: Any, offer: Offer) -> int | None:
    """Frames of a video of so many seconds; None for the model's own number."""
    if seconds is None or str(seconds) == offer.seconds():
        return None
    wanted = _number("seconds", seconds, int)
    if not 1 <= wanted <= offer.most_seconds:
        raise _bad("seconds", f"seconds {shown(seconds)} is out of range; this server makes videos of 1 to {offer.most_seconds} seconds")
    return offer.frames_for(wanted)


def _seed(value: Any) -> int:
    if value is None:
        return secrets.randbelow(2**31)
    seed = _number("seed", value, int)
    if not 0 <= seed <= LARGEST_SEED:
        raise _bad("seed", f"seed {shown(value)} is out of range; use 0 to {LARGEST_SEED}")
    return int(seed)


def _number(name: str, value: Any, kind: type) -> Any:
    whole = "a whole number" if kind is int else "a number"
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = kind(value)
        if isinstance(value, float) and number != value:
            raise ValueError
    except (ValueError, OverflowError):
        raise _bad(name, f"{name} must be {whole}, not {shown(value)}") from None
    return number


def _numbers(name: str, value: Any, kind: type) -> Any:
    """A number for all samplers, or numbers by sampler; a form field may hold them as JSON."""
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _bad(name, f"{name} is no JSON: {shown(value)}") from None
    if isinstance(value, Mapping):
        return {str(sampler): _number(name, one, kind) for sampler, one in value.items()}
    return _number(name, value, kind)


def _check_samplers(offer: Offer, steps: Any, guidance: Any) -> None:
    try:
        settings = offer.settings.with_samplers("steps", steps)
        if settings.latent.steps_run() < 1:
            raise _bad("steps", f"{settings.latent.steps} steps leave the latent stage none to run; use more")
    except SettingsError as error:
        raise _bad("steps", str(error)) from error
    try:
        settings.with_samplers("guidance", guidance)
    except SettingsError as error:
        raise _bad("guidance", str(error)) from error
