"""`show1 resume` and `show1 explore`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from show1.cli import options
from show1.cli.common import for_people, go_on, load_model, named_adapters, named_model, number_or_table, out, quiet_libraries
from show1.cli.means import Means


@for_people
def resume(
    run: Annotated[Path, typer.Argument(help="The run's folder, its video, or a folder of `show1 explore` (then with --seed).")],
    seed: Annotated[int | None, typer.Option(help="The seed to take to full size; for a single run, another seed.")] = None,
    from_stage: Annotated[str | None, typer.Option(help="Make this stage and all after it anew.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Another prompt.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="Another negative prompt.")] = None,
    stop_after: Annotated[str | None, typer.Option(help="Last stage: keyframes, interpolation, pixel or latent.")] = None,
    steps: options.StageSteps = None,
    guidance: options.StageGuidance = None,
    frames: options.Frames = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the video goes: .mp4, .webm or .gif.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the run's.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; the run's own where not given.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; the run's own where not given.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory to stay within, such as 8GB; the run's own where not given.")] = None,
    compile: options.Compile = False,
) -> None:
    """Go on with a run after its last finished stage, or make anew what a change asks for."""
    changes: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative_prompt, "frames": frames}
    changes |= {"steps": number_or_table(steps, int, "--steps"), "guidance": number_or_table(guidance, float, "--guidance")}
    quiet_libraries()
    from show1.runs.explore import LIST, chosen_run
    from show1.runs.places import find_run, relative
    from show1.runs.run import Run
    from show1.video import check_ending

    if (run / LIST).is_file():
        opened = chosen_run(run, seed)
        stop_after, output = stop_after or "latent", output or run / f"seed-{seed}.mp4"
    else:
        opened = Run.open(find_run(run))
        changes["seed"] = seed
    if output is not None:
        check_ending(output)
        changes |= {"output": relative(output, opened.folder), "ending": output.suffix.lower()}
    opened.change(from_stage, stop_after=stop_after, model=None if model is None else named_model(model), **changes)
    _, advance = _means(opened.read(), device, dtype, memory, compile).ready(opened.request, has_image=opened.request.image is not None)
    made_now: list[str] = []
    go_on(opened, partial(advance, opened, on_stage=made_now.append))
    place = opened.folder / opened.request.output if opened.request.output else opened.video_path
    out.print(
        f"{place.resolve()} · seed {opened.request.seed} · made now: {', '.join(made_now) or 'nothing but the file'}",
        soft_wrap=True,
        markup=False,
    )


@for_people
def explore(
    prompt: options.Prompt,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to try.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the runs and the contact sheet.")] = Path("explore"),
    negative_prompt: options.Negative = None,
    model: options.Model = None,
    adapter: options.Adapters = None,
    steps: options.StageSteps = None,
    guidance: options.StageGuidance = None,
    frames: options.Frames = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    compile: options.Compile = False,
) -> None:
    """Make only the keyframes of many seeds and a contact sheet to choose from."""
    numbers = {"steps": number_or_table(steps, int, "--steps"), "guidance": number_or_table(guidance, float, "--guidance")}
    quiet_libraries()
    from show1.runs.explore import explore as make
    from show1.runs.explore import open_exploration
    from show1.runs.request import Request

    request = Request(
        prompt=prompt, negative_prompt=negative_prompt, model=named_model(model), frames=frames, adapters=named_adapters(adapter), **numbers
    )
    pipeline = load_model(request.model, device, dtype, request.adapters, compiled=compile)
    pipeline.set_progress_bar_config(disable=True)
    request.check(pipeline)  # refused before anything is written
    folder = open_exploration(output, request)
    with tqdm(total=seeds, desc="seeds") as bar:
        sheet = make(folder, request, pipeline, list(range(seed, seed + seeds)), lambda _: bar.update())
    out.print(f"{sheet} · take one to full size with: show1 resume {folder} --seed N", soft_wrap=True, markup=False)


def _means(made: dict[str, Any], device: str | None, dtype: str | None, memory: str | None, compiled: bool) -> Means:
    """What a run was made with so far, where the command says nothing else and this machine has it."""
    machine = made.get("machine", {})
    begun = machine.get("device")
    device = device or _usable(begun)
    same = device is not None and begun is not None and device.split(":")[0] == begun.split(":")[0]
    if same and not compiled:
        memory = memory or machine.get("memory")  # of the process or of the GPU: of another device it says nothing
    return Means(device=device, dtype=dtype or made.get("model", {}).get("dtype"), memory=memory, compiled=compiled)


def _usable(device: str | None) -> str | None:
    """The device that a run was begun on, where this machine has it."""
    import torch

    if device is None:
        return None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return None
    return device
