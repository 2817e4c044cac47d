"""`show1 generate` and `show1 models`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from show1.cli import options
from show1.cli.common import err, for_people, go_on, load_model, named_adapters, named_model, number_or_table, out, quiet_libraries
from show1.errors import SettingsError

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
    make_video(output, asked, model, steps, guidance, device, dtype, memory, dry_run=dry_run, compiled=compile, **place)


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
    make_video(output, asked, model, steps, guidance, device, dtype, memory, dry_run=dry_run, compiled=compile, **place)


def make_video(
    output: Path,
    asked: dict[str, Any],
    model: str | None,
    steps: str | None,
    guidance: str | None,
    device: str | None,
    dtype: str | None,
    memory: str | None,
    *,
    dry_run: bool,
    compiled: bool,
    run_folder: Path | None,
    save_stages: bool = False,
    image: Any = None,
) -> None:
    """Make or go on with the run whose video is to be at `output`; say where it is and how long it took."""
    from show1.video import check_ending

    check_ending(output)
    numbers = {"steps": number_or_table(steps, int, "--steps"), "guidance": number_or_table(guidance, float, "--guidance")}
    if compiled and (memory is not None or dry_run):
        raise SettingsError("what compiled networks need is not predicted: use --compile without --memory and --dry-run")
    quiet_libraries()
    from show1.runs.places import place_for
    from show1.runs.request import Request

    request = Request(model=named_model(model), ending=output.suffix.lower(), **numbers, **asked)
    advance: Callable[[Any], object]
    if memory is not None or dry_run:
        with err.status("counting what each stage will need"):  # half a minute for the published sizes
            pipeline, plans = _planned(request, memory, device, dtype, has_image=image is not None, here=not dry_run)
        out.print(str(plans[0]), soft_wrap=True, markup=False)
        if dry_run:
            if memory is None and plans[0].device.type == "cpu":
                out.print("without --memory freed memory is kept, which is faster: more than this will be resident", soft_wrap=True)
            return
        advance = partial(_advance_as_planned, request, plans)
    else:
        pipeline = load_model(request.model, device, dtype, request.adapters, compiled=compiled)
        request.check(pipeline)  # refused before anything is written
        advance = partial(_advance, pipeline)
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


def _advance(pipeline: Any, run: Any) -> None:
    run.advance(pipeline)


def _advance_as_planned(request: Any, plans: list[Any], run: Any) -> None:
    """Let a run go on by the first of some plans, or by a later one where memory runs out."""
    from show1.allocator import return_freed_memory
    from show1.cascade.loading import read_model
    from show1.memory.within import advance_within

    return_freed_memory()

    def load(plan: Any, outlines: Collection[str]) -> Any:
        return read_model(request.model, plan.dtype, outlines, request.adapters, int8_text=plan.int8_text)

    advance_within(run, plans, load)


def _planned(
    request: Any, memory: str | None, device: str | None, dtype: str | None, *, has_image: bool, here: bool
) -> tuple[Any, list[Any]]:
    """The model without weights, and the plans for a request that fit; the default, without a budget."""
    from show1.cascade.loading import load_outlines
    from show1.memory.plan import Planner, bytes_of

    budget = None if memory is None else bytes_of(memory)
    outlines, where, kind = load_outlines(request.model, device, dtype, here=here)
    settings = request.check(outlines)
    planner = Planner(outlines, settings, where, kind, request.stop_after, fixed_dtype=dtype is not None, has_image=has_image)
    return outlines, [planner.default()] if budget is None else planner.within(budget)


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
