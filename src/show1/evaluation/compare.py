"""Two runs on the same prompts and seeds, video by video: what one shows rightly and the other does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from show1.cascade.settings import STAGES
from show1.errors import DataError
from show1.evaluation.alignment import READINGS, Reading, read_readings
from show1.evaluation.report import ALL_RIGHT
from show1.evaluation.statistics import paired_interval
from show1.worlds.attributes import ATTRIBUTES

Pairs = list[tuple[Reading, Reading]]


def paired_readings(first: Path, second: Path) -> Pairs:
    """The readings of two folders of `show1 evaluate alignment` that have prompt and seed in common.

    Raises:
        DataError: a folder without readings, or nothing in common.
    """
    runs = []
    for folder in (first, second):
        readings = read_readings(folder / READINGS)
        if not readings:
            raise DataError(f"'{folder}' holds no readings; make some with `show1 evaluate alignment -o {folder}`")
        runs.append({(reading.prompt, reading.seed): reading for reading in readings})
    pairs = [(reading, runs[1][key]) for key, reading in runs[0].items() if key in runs[1]]
    if not pairs:
        raise DataError(f"'{first}' and '{second}' have no prompt with its seed in common; compare runs of the same --prompts and --seed")
    return pairs


def comparison(pairs: Pairs) -> str:
    """A Markdown table: for each stage and attribute, what was right in both, in one alone, and the change with its 95% interval."""
    lines = ["| stage | | pairs | first | second | only first | only second | change, points |", "|---|---|---|---|---|---|---|---|"]
    for stage in STAGES:
        there = [pair for pair in pairs if all(stage in reading.read for reading in pair)]
        names = (*ATTRIBUTES, "all right") if there else ()
        lines += [f"| {stage} | {name} | {_row([_both(pair, stage, name) for pair in there if _asked(pair, name)])} |" for name in names]
    return "\n".join(lines)


def _asked(pair: Sequence[Reading], name: str) -> bool:
    return name == "all right" or all(name in reading.wanted for reading in pair)


def _both(pair: Sequence[Reading], stage: str, name: str) -> tuple[bool, bool]:
    names = set(ALL_RIGHT if name == "all right" else [name])
    first, second = (not set(reading.wrong(stage)) & names for reading in pair)
    return first, second


def _row(right: Sequence[tuple[bool, bool]]) -> str:
    first, second = (sum(pair[side] for pair in right) for side in (0, 1))
    lost, won = (sum(pair[side] and not pair[1 - side] for pair in right) for side in (0, 1))
    low, high = (100 * end for end in paired_interval(lost, won, len(right)))
    change = 100 * (won - lost) / len(right) if right else 0.0
    return f"{len(right)} | {first} | {second} | {lost} | {won} | {change:+.1f} ({low:+.1f} to {high:+.1f})"
