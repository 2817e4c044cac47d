"""What a model is asked for, with what it must show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from show1.errors import DataError, SettingsError
from show1.worlds.attributes import ATTRIBUTES, attributes
from show1.worlds.captions import caption
from show1.worlds.sampling import sample_scene
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import PLACE_TABLE

SPLITS = {"held-out": "held-out", "seen": "train"}
"""Name in tables -> the world's name."""
WRITTEN = {name: Path(__file__).resolve().parent / f"{name}.jsonl" for name in ("paraphrases", "sentences")}
"""100 prompts each in people's own words and turns; nothing is trained on them. `sentences` were written without knowledge of captions and phrasebook."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One prompt, what its video must show, and the seed it is made with."""

    id: str
    group: str
    prompt: str
    wanted: Mapping[str, str]
    """Attribute -> value; attributes that are left open are not measured."""
    seed: int
    scene: Scene | None = None
    """What to draw for comparison."""


def drawn_by(pipeline: Any) -> dict[str, list[str]]:
    """What a model says it can draw, by attribute; nothing for an open vocabulary. Places are those of the world."""
    words = pipeline.vocabulary
    return {name: words[kind] for name, kind in {"object": "objects", "motion": "motions", "count": "counts"}.items() if words.get(kind)}


def check_readable(values: Mapping[str, Iterable[str]], labels: Mapping[str, Sequence[str]]) -> None:
    """Raise SettingsError for values of attributes that a recogniser with these labels cannot tell."""
    for name, shown in values.items():
        unknown = sorted(set(shown) - set(labels[name]))
        if unknown:
            raise SettingsError(
                f"the recogniser cannot tell the {name} {', '.join(unknown)}; pass one that can with --recogniser (see docs/evaluation.md)"
            )


def world_prompts(labels: Mapping[str, Sequence[str]], group: str, samples: int, seed: int) -> list[Asked]:
    """Captions of scenes of a split ("held-out" or "seen"): pure functions of the seed and of what the model can draw."""
    asked = []
    for k in range(samples):
        number = seed * 1_000_003 + k
        scene = sample_scene(labels["object"], list(PLACE_TABLE), labels["motion"], len(labels["count"]), number, SPLITS[group])  # type: ignore[arg-type]
        wanted = attributes(scene)
        asked.append(Asked(id=f"{group}-{k}", group=group, prompt=caption(scene, number), wanted=wanted, seed=number, scene=scene))
    return asked


def file_prompts(path: Path, seed: int) -> list[Asked]:
    """Prompts from a file of JSON lines such as `{"prompt": "a pony trots to the left", "object": "horse", "motion": "left"}`.

    Raises:
        DataError: unreadable, or a line without a prompt or with an unknown key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the prompts in '{path}': {error}") from error
    asked = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            values = _line(line, f"line {number} of '{path}'")
            prompt = values.pop("prompt")
            asked.append(Asked(id=f"{path.stem}-{number}", group=path.stem, prompt=prompt, wanted=values, seed=seed + number))
    if not asked:
        raise DataError(f"there are no prompts in '{path}'")
    return asked


def _line(line: str, where: str) -> dict[str, str]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    if not isinstance(values, dict) or not values.get("prompt"):
        raise DataError(f'{where} needs a "prompt"')
    for key in values:
        if key not in ("prompt", *ATTRIBUTES):
            raise DataError(f"{where} has an unknown key '{key}'; known: prompt, {', '.join(ATTRIBUTES)}")
    return {key: str(value) for key, value in values.items()}
