"""`show1 customize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from show1.cli.common import err, for_people, out, quiet_libraries
from show1.cli.training import TERMINATED

Prompt = Annotated[str, typer.Option(help="What it shows, in the words that the model knows.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The adapter's folder, not there yet.")]
Model = Annotated[str | None, typer.Option(help="A pipeline's folder or hub id; the bundled model where not given.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Training steps.")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Rank = Annotated[int | None, typer.Option(min=1, help="Rank of each layer's change.")]
Full = Annotated[bool, typer.Option("--full", help="Changes of full rank: larger files, no peft.")]
Seed = Annotated[int, typer.Option(help="Seed of the training.")]


@for_people
def motion(
    clip: Annotated[Path, typer.Argument(help="A clip of the motion: .mp4 or .webm.")],
    prompt: Prompt,
    output: Output,
    model: Model = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    rank: Rank = None,
    full: Full = False,
    seed: Seed = 0,
) -> None:
    """Learn a motion from one clip. Stopped or killed, the same command goes on."""
    learn("motion", [clip], prompt, output, model, rank, full=full, steps=steps, learning_rate=learning_rate, seed=seed)


@for_people
def style(
    source: Annotated[list[Path], typer.Argument(help="A clip, or pictures, in the style.")],
    output: Output,
    model: Model = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    rank: Rank = None,
    full: Full = False,
    seed: Seed = 0,
) -> None:
    """Learn a style from a clip or a few pictures. Stopped or killed, the same command goes on."""
    learn("style", source, None, output, model, rank, full=full, steps=steps, learning_rate=learning_rate, seed=seed)


def learn(
    kind: str, source: list[Path], prompt: str | None, output: Path, model: str | None, rank: int | None, *, full: bool, **changes: Any
) -> None:
    """Train the adapter and say where it is."""
    quiet_libraries()
    from show1.training.customise import customize

    made = customize(kind, source, prompt, output, model=model, rank=0 if full else rank, **changes)
    if made is None:
        err.print("stopped and saved; the same command goes on from there")
        raise typer.Exit(TERMINATED)
    size = sum(path.stat().st_size for path in made.iterdir()) / 1e6
    out.print(f'{made} · {size:.1f} MB · use it: show1 generate "…" --adapter {made}', soft_wrap=True, markup=False)
