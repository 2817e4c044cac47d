"""Readings as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from show1.cascade.settings import STAGES
from show1.evaluation.alignment import STRIPS, Reading
from show1.evaluation.reference import Reference
from show1.evaluation.statistics import frechet_distance, moments, wilson_interval
from show1.worlds.attributes import ATTRIBUTES

ALL_RIGHT = ("object", "place", "motion", "count")
"""What counts as all right."""
LABEL_HEIGHT = 14
MOST_FAILURES = 40


def share(right: int, total: int) -> dict[str, Any]:
    """A count as a share with its 95% interval."""
    low, high = wilson_interval(right, total)
    return {"right": right, "of": total, "share": right / total if total else None, "interval": [low, high]}


def summarise(readings: Sequence[Reading], reference: Reference) -> dict[str, Any]:
    """Group -> stage -> accuracies, looks beside rendered clips', and Fréchet distance."""
    groups = list(dict.fromkeys(reading.group for reading in readings))
    stages = [stage for stage in STAGES if not readings or any(stage in reading.read for reading in readings)]
    table = {
        group: {stage: _stage([r for r in readings if r.group == group and stage in r.read], stage, reference) for stage in stages}
        for group in groups
    }
    own = {stage: {name: share(right, reference.samples) for name, right in reference.right[stage].items()} for stage in stages}
    return {"groups": table, "recogniser": own, "rendered": {stage: dict(reference.looks[stage]) for stage in stages}}


def _stage(readings: Sequence[Reading], stage: str, reference: Reference) -> dict[str, Any]:
    accuracy = {}
    for name in ATTRIBUTES:
        asked = [reading for reading in readings if name in reading.wanted]
        accuracy[name] = share(sum(reading.right(stage, name) for reading in asked), len(asked))
    all_right = sum(not set(reading.wrong(stage)) & set(ALL_RIGHT) for reading in readings)
    accuracy["all right"] = share(all_right, len(readings))
    features = torch.tensor([reading.features[stage] for reading in readings])
    distance = frechet_distance(moments(features), reference.moments[stage]) if len(readings) > 1 else None
    means = {name: sum(r.looks[stage][name] for r in readings) / len(readings) for name in ("sharpness", "flicker", "drift")}
    return {"accuracy": accuracy, "looks": means, "frechet": distance}


def markdown(summary: Mapping[str, Any]) -> str:
    """The summary as two tables."""
    columns = [*ATTRIBUTES, "all right"]
    lines = ["| videos | stage | n | " + " | ".join(columns) + " |", "|---" * (len(columns) + 3) + "|"]
    for group, stages in summary["groups"].items():
        for stage, values in stages.items():
            cells = [_cell(values["accuracy"][name]) for name in columns]
            lines.append(f"| {group} | {stage} | {values['accuracy']['all right']['of']} | " + " | ".join(cells) + " |")
    for stage, own in summary["recogniser"].items():
        cells = [_cell(own[name]) for name in ATTRIBUTES]
        lines.append(f"| *recogniser on rendered clips* | {stage} | {own['object']['of']} | " + " | ".join(cells) + " | |")
    lines += ["", "| videos | stage | sharpness | flicker | drift | Fréchet distance |", "|---|---|---|---|---|---|"]
    for group, stages in summary["groups"].items():
        for stage, values in stages.items():
            distance = "" if values["frechet"] is None else f"{values['frechet']:.1f}"
            lines.append(f"| {group} | {stage} | {_looks(values['looks'])} | {distance} |")
    for stage, values in summary["rendered"].items():
        lines.append(f"| *rendered clips* | {stage} | {_looks(values)} | |")
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, Any]) -> str:
    if not value["of"]:
        return ""
    low, high = value["interval"]
    return f"{100 * value['share']:.0f}% ({100 * low:.0f}–{100 * high:.0f})"


def _looks(values: Mapping[str, float]) -> str:
    return " | ".join(f"{values[name]:.4f}" for name in ("sharpness", "flicker", "drift"))


def failures(readings: Sequence[Reading], folder: Path) -> Image.Image | None:
    """A sheet of the videos that were not read as asked, each under its prompt and what was read instead; None without any."""
    rows: list[tuple[str, Image.Image]] = []
    for reading in readings:
        stage = list(reading.read)[-1]
        wrong = reading.wrong(stage)
        path = folder / STRIPS / f"{reading.id}.png"
        if wrong and path.is_file() and len(rows) < MOST_FAILURES:
            read = ", ".join(f"{name} {reading.read[stage][name]} (not {reading.wanted[name]})" for name in wrong)
            rows.append((f"{reading.id}: {reading.prompt} -> {read}", Image.open(path)))
    return labelled(rows) if rows else None


def labelled(rows: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures under each other, each below a line of text."""
    width = max(picture.width for _, picture in rows)
    sheet = Image.new("RGB", (width, sum(picture.height + LABEL_HEIGHT for _, picture in rows)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for text, picture in rows:
        pen.text((2, top), text.encode("latin-1", "replace").decode("latin-1"), fill="black")
        sheet.paste(picture, (0, top + LABEL_HEIGHT))
        top += picture.height + LABEL_HEIGHT
    return sheet
