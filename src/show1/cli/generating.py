"""`show1 generate` and `show1 models`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from show1.cli.common import err, for_people, load_model, number_or_table, out, quiet_libraries

STARTED = time.perf_counter()


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
    step_counts = number_or_table(steps, int, "--steps")
    scales = number_or_table(guidance, float, "--guidance")
    quiet_libraries()
    pipeline = load_model(model, device, dtype)
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
