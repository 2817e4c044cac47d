"""`show1 generate` and `show1 models`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from show1.cli import options
from show1.cli.common import err, for_people, go_on, named_adapters, named_model, number_or_table, out, quiet_libraries
from show1.cli.means import Means

STARTED = time.perf_counter()


@for_people
def generate(
    prompt: options.Prompt,
    output: options.VideoFile = Path("video.mp4"),
    seed: options.VideoSeed = None,
    negative_prompt: options.Negative = None,
    model: options.Model = None,
    adapter: options.Adapters = None,
    stop_after: options.StopAfter = "latent",
    steps: options.StageSteps = None,
    guidance: options.StageGuidance = None,
    frames: options.Frames = None,
    run_folder: options.RunFolder = None,
    save_stages: Annotated[bool, typer.Option("--save-stages", help="Write each stage's video beside the output.")] = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    memory: options.Memory = None,
    dry_run: options.DryRun = False,
    compile: options.Compile = False,
) -> None:
    """Make a video from a sentence. Stopped or killed, it goes on with `show1 resume`."""
    asked: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed, "stop_after": stop_after, "frames": frames}
    asked["adapters"] = named_adapters(adapter)
    place: dict[str, Any] = {"run_folder": run_folder, "save_stages": save_stages}
    how = Means(device=device, dtype=dtype, memory=memory, compiled=compile)
    make_video(output, asked, model, steps, guidance, how, dry_run=dry_run, **place)


@for_people
def animate(
    image: Annotated[Path, typer.Argument(help="The first frame: any picture; it is cut to the video's proportions.")],
    prompt: options.Prompt,
    output: options.VideoFile = Path("video.mp4"),
    seed: options.VideoSeed = None,
    negative_prompt: options.Negative = None,
    model: options.Model = None,
    adapter: options.Adapters = None,
    stop_after: options.StopAfter = "latent",
    steps: options.StageSteps = None,
    guidance: options.StageGuidance = None,
    frames: options.Frames = None,
    run_folder: options.RunFolder = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    memory: options.Memory = None,
    dry_run: options.DryRun = False,
    compile: options.Compile = False,
) -> None:
    """Make a video that starts from a picture."""
    from show1.video import read_image

    first = read_image(image)
    asked: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed, "stop_after": stop_after, "frames": frames}
    asked["adapters"] = named_adapters(adapter)
    place: dict[str, Any] = {"run_folder": run_folder, "image": first}
    how = Means(device=device, dtype=dtype, memory=memory, compiled=compile)
    make_video(output, asked, model, steps, guidance, how, dry_run=dry_run, **place)


def make_video(
    output: Path,
    asked: dict[str, Any],
    model: str | None,
    steps: str | None,
    guidance: str | None,
    how: Means,
    *,
    dry_run: bool,
    run_folder: Path | None,
    save_stages: bool = False,
    image: Any = None,
) -> None:
    """Make or go on with the run whose video is to be at `output`; say where it is and how long it took."""
    from show1.video import check_ending

    check_ending(output)
    numbers = {"steps": number_or_table(steps, int, "--steps"), "guidance": number_or_table(guidance, float, "--guidance")}
    quiet_libraries()
    from show1.runs.places import place_for
    from show1.runs.request import Request

    request = Request(model=named_model(model), ending=output.suffix.lower(), **numbers, **asked)
    if dry_run:
        _tell_plan(how, request, has_image=image is not None)
        return
    pipeline, advance = how.ready(request, has_image=image is not None)
    _tell_unknown_words(pipeline, request.prompt)
    loaded = time.perf_counter()
    run = place_for(output, request, run_folder, image)
    go_on(run, partial(advance, run))
    if save_stages:
        _save_stages(run, output)
    seconds = {stage: entry["seconds"] for stage, entry in run.read()["stages"].items()}
    times = [("start-up", loaded - STARTED), *seconds.items(), ("all", time.perf_counter() - STARTED)]
    told = " · ".join(f"{name} {seconds:.1f} s" for name, seconds in times)
    out.print(f"{output} · seed {run.request.seed} · {told} · run in {run.folder}", soft_wrap=True, markup=False)


def _tell_plan(how: Means, request: Any, *, has_image: bool) -> None:
    """Say how a request would be made and what memory it would need."""
    _, plans = how.plans(request, has_image=has_image, here=False)
    out.print(str(plans[0]), soft_wrap=True, markup=False)
    if how.memory is None and plans[0].device.type == "cpu":
        out.print("without --memory freed memory is kept, which is faster: more than this will be resident", soft_wrap=True)


def _save_stages(run: Any, output: Path) -> None:
    from show1.cascade.settings import STAGES
    from show1.runs.folder import stage_fps
    from show1.video import write_frames

    for stage in STAGES[: STAGES.index(run.request.stop_after)]:
        path = output.with_stem(f"{output.stem}-{stage}")
        write_frames(run.pictures(stage), path, stage_fps(run.settings(), stage), {**run.metadata(), "stop_after": stage})


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
    from show1.models.reading import read_json

    table = Table("model", "can draw", show_lines=True)
    for name, folder in [("bundled", BUNDLED), *((str(f), f) for f in folders or ())]:
        vocabulary = read_json(folder / "model_index.json").get("vocabulary") or {}
        lines = [f"[bold]{kind}[/bold]: {', '.join(words)}" for kind, words in vocabulary.items() if kind != "words"]
        table.add_row(name, "\n".join(lines) or "anything in words (open vocabulary)")
    table.add_row("published", "anything in words; `--model published` needs the five checkpoints from the hub (non-commercial licence)")
    out.print(table)
