"""The command line: parse, call, print."""

from __future__ import annotations

import sys

import typer

from show1.allocator import without_gaps
from show1.cli import batching, benching, customising, evaluating, generating, preparing, resuming, serving, tools, training

app = typer.Typer(
    name="show1",
    help="Text to video with the hybrid pixel and latent diffusion cascade of the Show-1 paper.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    generating.generate,
    resuming.resume,
    resuming.explore,
    generating.animate,
    batching.batch,
    tools.interpolate,
    tools.upscale,
    generating.models,
    training.train,
    training.assemble,
    training.push,
    benching.bench,
):
    app.command()(command)
data = typer.Typer(help="What training reads.", no_args_is_help=True)
for command in (preparing.prepare, training.sprites):
    data.command()(command)
app.add_typer(data, name="data")
customize = typer.Typer(help="Learn a motion or a style.", no_args_is_help=True)
for command in (customising.motion, customising.style):
    customize.command()(command)
app.add_typer(customize, name="customize")
evaluate = typer.Typer(help="What a model shows of what was asked.", no_args_is_help=True)
for command in (evaluating.alignment, evaluating.compare, evaluating.recogniser):
    evaluate.command()(command)
app.add_typer(evaluate, name="evaluate")
for command in (serving.serve, serving.ui):
    app.command()(command)
app.add_typer(serving.keys, name="keys")


def main() -> None:
    """Entry point of the `show1` command."""
    without_gaps()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
