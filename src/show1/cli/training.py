"""`show1 train`, `show1 assemble` and `show1 data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from show1.cli.common import err, for_people, out, quiet_libraries
from show1.errors import SettingsError

TERMINATED = 143
"""Exit status after SIGTERM, by which a cluster knows that the run is not done."""


@for_people
def train(
    stage: Annotated[str, typer.Argument(help="text, keyframes-image, keyframes, interpolation, first-frame, pixel, vae or latent.")],
    config: Annotated[Path, typer.Option(help="The run's TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder; a run that is there goes on.")],
    sprites: Annotated[Path | None, typer.Option(help="The emoji world's sprites, where no `source` is configured.")] = None,
    steps: Annotated[int | None, typer.Option(help="In place of the file's steps.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time as if the run ended there.")] = None,
) -> None:
    """Train one stage. `start` folders in the configuration are relative to the folder above the run's."""
    from show1.training.config import load_config

    settings = load_config(config, steps=steps)
    if settings.stage != stage:
        raise SettingsError(f"'{config}' configures the stage '{settings.stage}', not '{stage}'")
    quiet_libraries()
    from show1.training.loop import Trainer

    trainer = Trainer(settings, output, base=output.resolve().parent, sprites=sprites, max_minutes=max_minutes)
    final = trainer.run()
    if trainer.accelerator.is_main_process:
        for note in trainer.task.source.notes():
            out.print(note, markup=False)
    if final is None:
        err.print(f"stopped and saved at step {trainer.step}; the same command goes on from there")
        raise typer.Exit(TERMINATED)
    if trainer.accelerator.is_main_process:
        out.print(f"weights in {final}")


@for_people
def assemble(
    runs: Annotated[Path, typer.Argument(help="The folder that holds the runs of all stages.")],
    settings: Annotated[Path, typer.Option(help="TOML file of sampling settings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The pipeline's folder.")],
    licence: Annotated[str | None, typer.Option(help="The weights' licence for the model card, e.g. apache-2.0.")] = None,
) -> None:
    """Make one pipeline of finished training runs, with a model card."""
    quiet_libraries()
    from show1.training.assemble import assemble_pipeline

    out.print(f"pipeline in {assemble_pipeline(runs, settings, output, licence)}")


@for_people
def sprites(folder: Annotated[Path, typer.Argument(help="Where to put them (about 250 MB).")]) -> None:
    """Fetch the sprites that the emoji world is drawn with (needs npm; only training does)."""
    from show1.worlds.sprites import fetch_sprites

    fetch_sprites(folder, report=lambda text: out.print(text, markup=False))


@for_people
def push(
    folder: Annotated[Path, typer.Argument(help="A model's folder, as `show1 assemble` and `save_pretrained` write it.")],
    repo: Annotated[str, typer.Argument(help="user/name on the hub; made where it is not there.")],
    private: Annotated[bool, typer.Option(help="Make it private.")] = False,
) -> None:
    """Upload a model with its card to the hub (log in first: `hf auth login`)."""
    quiet_libraries()
    from show1 import Show1Pipeline

    out.print(Show1Pipeline.from_pretrained(folder).push_to_hub(repo, private=private))
