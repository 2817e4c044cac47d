"""What a batch is asked for: a file of prompts, one a line."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from show1.cascade.settings import SAMPLERS, CascadeSettings
from show1.errors import DataError, SettingsError, Show1Error
from show1.runs.request import Request

KEYS = ("prompt", "id", "seed", "negative_prompt", "settings")
OPTIONS = ("steps", "guidance", "frames")
"""What a line's settings may hold besides the names of `CascadeSettings`: as the options of `show1 generate`."""
LONGEST_ID = 100


@dataclass(frozen=True)
class Job:
    """One video of a batch."""

    id: str
    line: int
    request: Request


@dataclass(frozen=True)
class BadLine:
    """A line that no video can be made of, and why."""

    line: int
    error: str


def read_prompts(
    path: Path, defaults: Request, own: CascadeSettings, check: Callable[[Request], object]
) -> tuple[list[Job], list[BadLine]]:
    """The jobs of a file, and the lines that cannot be used.

    A line is a JSON object with `prompt` and perhaps `id`, `seed`, `negative_prompt` and `settings`, or a prompt as plain text.
    Empty lines are skipped. Without an id, a line's number is its id; without a seed, line n has the defaults' seed + n - 1.

    Args:
        path: UTF-8 text.
        defaults: what a line does not say; its seed is a number.
        own: the model's settings, which a line's `settings` change in part.
        check: called with every request; what it raises makes the line a bad one.

    Raises:
        DataError: the file cannot be read, or holds no line.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read the prompts in '{path}': {error.strerror or error}") from error
    jobs: list[Job] = []
    bad: list[BadLine] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = _values(line.strip())
            name = check_id(values.get("id", f"{number:06}"))
            first = taken.setdefault(name.casefold(), number)  # some file systems do not tell A from a
            if first != number:
                raise DataError(f"the id '{name}' is taken by line {first}")
            request = _request(values, defaults, own, number)
            check(request)
            jobs.append(Job(name, number, request))
        except Show1Error as error:
            bad.append(BadLine(number, str(error)))
        except (TypeError, ValueError, AttributeError) as error:
            bad.append(BadLine(number, f"a value of the wrong kind: {error}"))
    if not jobs and not bad:
        raise DataError(f"there are no prompts in '{path}'")
    return jobs, bad


def check_id(name: Any) -> str:
    """An id that is safe as a file's name and as a key within a shard; whole numbers are taken as text.

    Raises:
        DataError: it is not.
    """
    text = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    if isinstance(text, str):
        text = unicodedata.normalize("NFC", text)
        plain = text.replace("-", "").replace("_", "").isalnum()
        if plain and not text.startswith("-") and len(text.encode()) <= LONGEST_ID:
            return text
    raise DataError(f"the id {name!r:.60} cannot name a file: use letters, digits, - and _, at most {LONGEST_ID} bytes, no - in front")


def _values(line: bytes) -> dict[str, Any]:
    """A line's values."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    if text[0] not in "{[":
        return {"prompt": text}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON: {error}") from None
    if not isinstance(values, dict) or "prompt" not in values:
        raise DataError('a JSON object with a "prompt" is needed')
    unknown = [key for key in values if key not in KEYS]
    if unknown:
        raise DataError(f"unknown key '{unknown[0]}'; known: {', '.join(KEYS)}")
    return {key: value for key, value in values.items() if value is not None or key == "prompt"}


def _request(values: Mapping[str, Any], defaults: Request, own: CascadeSettings, number: int) -> Request:
    assert defaults.seed is not None
    seed = values.get("seed", defaults.seed + number - 1)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise SettingsError(f"the seed {seed!r:.60} is not a whole number")
    settings = values.get("settings", {})
    if not isinstance(settings, Mapping):
        raise SettingsError(f"settings must be names with values, not {settings!r:.60}")
    options = {name: settings[name] for name in OPTIONS if name in settings}
    whole = _merged(own, {name: value for name, value in settings.items() if name not in OPTIONS})
    negative = values.get("negative_prompt", defaults.negative_prompt)
    return replace(defaults, prompt=values["prompt"], negative_prompt=negative, seed=seed, settings=whole).changed(**options)


def _merged(own: CascadeSettings, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The model's settings as plain values with some changed; None where none are."""
    if not changes:
        return None
    values = own.to_dict()
    for name, value in changes.items():
        values[name] = {**values[name], **value} if name in SAMPLERS and isinstance(value, Mapping) else value
    return CascadeSettings.from_dict(values).to_dict()
