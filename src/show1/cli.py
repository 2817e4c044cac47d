"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from show1.errors import SettingsError, Show1Error

STARTED = time.perf_counter()

app = typer.Typer(
    name="show1",
    help="Text to video with the hybrid pixel and latent diffusion cascade of the Show-1 paper.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="What training reads.", no_args_is_help=True)
app.add_typer(data, name="data")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def for_people(command: Callable[..., None]) -> Callable[..., None]:
    """Print errors that are meant for people without a traceback, and leave with a status that is not zero."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Show1Error as error:
            err.print(f"[red]error:[/red] {_escape(str(error))}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            err.print("stopped")
            raise typer.Exit(130) from None

    return run


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _number_or_table(text: str | None, convert: Callable[[str], Any], option: str) -> Any:
    """`20`, or `keyframes=20,latent=8`."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return convert(text)
        return {name.strip(): convert(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise SettingsError(f"{option} takes a number, or stages with numbers such as keyframes=20,latent=8; not '{text}'") from None


def _quiet_libraries() -> None:
    """Keep the libraries' advice for developers off a user's screen."""
    import logging
    import warnings

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(level=logging.WARNING, format="note: %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _load(model: str | None, device: str | None, dtype: str | None) -> Any:
    import torch

    from show1 import Show1Pipeline
    from show1.cascade.folder import best_device, best_dtype

    where = _device(device) if device else best_device()
    names = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype is not None and dtype not in names:
        raise SettingsError(f"unknown dtype '{dtype}'; known: {', '.join(names)}")
    kind = names[dtype] if dtype else best_dtype(where)
    if model == "published":
        return Show1Pipeline.from_published(dtype=kind).to(where)
    return Show1Pipeline.from_pretrained(None if model in (None, "bundled") else model, dtype=kind).to(where)


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"the device '{name}' cannot be used here: {str(error).splitlines()[0]}") from None
    return device


@app.command()
@for_people
def generate(
    prompt: Annotated[str, typer.Argument(help="What the video shows.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The video file: .mp4, .webm or .gif.")] = Path("video.mp4"),
    seed: Annotated[int | None, typer.Option(help="Same seed, same video. Random where not given.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What the video should not show.")] = None,
    model: Annotated[str | None, typer.Option(help="A pipeline's folder or hub id, `bundled` (default) or `published`.")] = None,
    stop_after: Annotated[str, typer.Option(help="Last stage: keyframes, interpolation, pixel or latent.")] = "latent",
    steps: Annotated[str | None, typer.Option(help="Denoising steps: 20, or keyframes=20,latent=8.")] = None,
    guidance: Annotated[str | None, typer.Option(help="Guidance scale: 4, or keyframes=6,pixel=1.")] = None,
    save_stages: Annotated[bool, typer.Option("--save-stages", help="Write each stage's video beside the output.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; chosen by itself where not given.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")] = None,
) -> None:
    """Make a video from a sentence."""
    from show1.video import check_ending, write_video

    check_ending(output)
    step_counts = _number_or_table(steps, int, "--steps")
    scales = _number_or_table(guidance, float, "--guidance")
    _quiet_libraries()
    pipeline = _load(model, device, dtype)
    _tell_unknown_words(pipeline, prompt)
    loaded = time.perf_counter()
    result = pipeline(
        prompt,
        negative_prompt,
        seed=seed,
        stop_after=stop_after,
        num_inference_steps=step_counts,
        guidance_scale=scales,
        output_type="pt",
    )
    settings = pipeline.settings.with_samplers("steps", step_counts).with_samplers("guidance", scales)
    metadata = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": result.seeds[0],
        "model": str(pipeline.config["_name_or_path"]),
        "stop_after": stop_after,
        "settings": settings.to_dict(),
        "show1": _version(),
    }
    for name, video in result.stages().items():
        last = name == list(result.stages())[-1]
        fps = settings.fps / (settings.between + 1) if name == "keyframes" else settings.fps
        if last:
            write_video(video[0], output, fps, metadata)
        elif save_stages:
            write_video(video[0], output.with_stem(f"{output.stem}-{name}"), fps, {**metadata, "stop_after": name})
    times = [("start-up", loaded - STARTED), *result.seconds.items(), ("all", time.perf_counter() - STARTED)]
    out.print(f"{output} · seed {result.seeds[0]} · " + " · ".join(f"{name} {seconds:.1f} s" for name, seconds in times), soft_wrap=True)


def _version() -> str:
    import show1

    return show1.__version__


def _tell_unknown_words(pipeline: Any, prompt: str) -> None:
    unknown = pipeline.unknown_words(prompt)
    if unknown:
        err.print(
            f"note: this model never learned: {', '.join(unknown)}. `show1 models` lists what it can draw.", soft_wrap=True, markup=False
        )


@app.command()
@for_people
def models(
    folders: Annotated[list[Path] | None, typer.Argument(help="More pipeline folders to list, besides the bundled model.")] = None,
) -> None:
    """List models and what each can draw."""
    from show1.cascade.folder import BUNDLED
    from show1.models.loading import read_json

    table = Table("model", "can draw", show_lines=True)
    for name, folder in [("bundled", BUNDLED), *((str(f), f) for f in folders or ())]:
        vocabulary = read_json(folder / "model_index.json").get("vocabulary") or {}
        lines = [f"[bold]{kind}[/bold]: {', '.join(words)}" for kind, words in vocabulary.items() if kind != "words"]
        table.add_row(name, "\n".join(lines) or "anything in words (open vocabulary)")
    table.add_row("published", "anything in words; `--model published` needs the five checkpoints from the hub (non-commercial licence)")
    out.print(table)


@app.command()
@for_people
def train(
    stage: Annotated[str, typer.Argument(help="keyframes-image, keyframes, interpolation, first-frame, pixel, vae or latent.")],
    config: Annotated[Path, typer.Option(help="The run's TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder; a run that is there goes on.")],
    sprites: Annotated[Path | None, typer.Option(help="The emoji world's sprites, see `show1 data sprites`.")] = None,
    steps: Annotated[int | None, typer.Option(help="In place of the file's steps.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time as if the run ended there.")] = None,
) -> None:
    """Train one stage. `start` folders in the configuration are relative to the folder above the run's."""
    from show1.training.config import load_config

    settings = load_config(config, steps=steps)
    if settings.stage != stage:
        raise SettingsError(f"'{config}' configures the stage '{settings.stage}', not '{stage}'")
    _quiet_libraries()
    from show1.training.loop import Trainer

    final = Trainer(settings, output, base=output.resolve().parent, sprites=sprites, max_minutes=max_minutes).run()
    out.print(f"weights in {final}")


@app.command()
@for_people
def assemble(
    runs: Annotated[Path, typer.Argument(help="The folder that holds the runs of all stages.")],
    settings: Annotated[Path, typer.Option(help="TOML file of sampling settings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The pipeline's folder.")],
) -> None:
    """Make one pipeline of finished training runs."""
    _quiet_libraries()
    from show1.training.assemble import assemble_pipeline

    out.print(f"pipeline in {assemble_pipeline(runs, settings, output)}")


@data.command()
@for_people
def sprites(folder: Annotated[Path, typer.Argument(help="Where to put them (about 250 MB).")]) -> None:
    """Fetch the sprites that the emoji world is drawn with (needs npm; only training does)."""
    from show1.worlds.sprites import fetch_sprites

    fetch_sprites(folder, report=lambda text: out.print(text, markup=False))


def main() -> None:
    """Entry point of the `show1` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
