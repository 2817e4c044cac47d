"""`show1 data prepare`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from show1.cli.common import for_people, out, quiet_libraries
from show1.errors import SettingsError

if TYPE_CHECKING:
    from show1.data.prepare import Extra


@for_people
def prepare(
    source: Annotated[str, typer.Argument(help="A folder of clips, a .csv or .jsonl, or .tar shards: paths, {000..007}, *, addresses.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The shards' folder; one that was begun goes on.")],
    text_encoder: Annotated[
        list[str] | None, typer.Option(help="Folder of a T5 or CLIP text encoder: embed captions (repeat for both).")
    ] = None,
    vae: Annotated[str | None, typer.Option(help="Folder of a VAE: encode each clip's first 29 frames at 576 x 320.")] = None,
    tokens: Annotated[int, typer.Option(help="Tokens a caption is padded to for T5: `text_tokens` of the training configuration.")] = 32,
    min_seconds: Annotated[float | None, typer.Option(help="Shortest clip; 3.87 where not given.")] = None,
    min_size: Annotated[str, typer.Option(help="Smallest picture, either way up.")] = "256x160",
    shard_clips: Annotated[int, typer.Option(help="Most clips in a shard.")] = 1000,
    workers: Annotated[
        int | None, typer.Option(help="Clips checked side by side; as many as there are processors where not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where encoders run: cuda, mps or cpu; chosen by itself where not given.")] = None,
) -> None:
    """Check clips and captions, count what cannot be used and why, and write the rest as WebDataset shards."""
    from tqdm import tqdm

    from show1.data.prepare import Preparation, PrepareSettings

    asked: dict[str, Any] = {} if min_seconds is None else {"min_seconds": min_seconds}
    settings = PrepareSettings(min_size=_size(min_size), shard_clips=shard_clips, **asked)
    if vae is not None and settings.min_seconds < PrepareSettings().min_seconds:
        raise SettingsError(f"--vae encodes 29 frames of every clip: leave --min-seconds at {PrepareSettings().min_seconds:.2f} or more")
    quiet_libraries()
    preparation = Preparation(source, output, settings, _extras(text_encoder or [], vae, tokens, device), workers or os.cpu_count() or 1)
    with tqdm(total=len(preparation.records), unit="clip", desc="clips") as bar:
        summary = preparation.run(bar.update)
    _tell(summary, output)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if match is None:
        raise SettingsError(f"--min-size takes a size such as 256x160, not '{text}'")
    return int(match[1]), int(match[2])


def _extras(encoders: list[str], vae: str | None, tokens: int, device: str | None) -> list[Extra]:
    if not encoders and vae is None:
        return []
    from show1.cascade.folder import best_device
    from show1.cascade.loading import chosen_device
    from show1.training.components import resolve_start
    from show1.training.precompute import LatentExtra, TextExtra

    where = chosen_device(device) if device else best_device()
    extras: list[Extra] = [TextExtra(resolve_start(folder, Path()), tokens, where) for folder in encoders]
    return extras if vae is None else [*extras, LatentExtra(resolve_start(vae, Path()), where)]


def _tell(summary: dict[str, Any], output: Path) -> None:
    from show1.data.problems import REASONS

    skipped = summary["skipped"]
    if skipped:
        table = Table("skipped", "clips", "what that means", title=f"not used: {_count(sum(skipped.values()), 'clip')}")
        for reason, count in sorted(skipped.items(), key=lambda item: -item[1]):
            table.add_row(reason, str(count), REASONS.get(reason, ""))
        out.print(table)
        out.print(f"which: {output / 'skipped.csv'}", markup=False, soft_wrap=True)
    amount = f"{_count(summary['clips'], 'clip')}, {summary['seconds'] / 60:.1f} minutes, in {_count(len(summary['shards']), 'shard')}"
    out.print(f"{amount} in {output}", markup=False, soft_wrap=True)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
