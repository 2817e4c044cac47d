"""`show1 batch`: a file of prompts, made by pools of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from show1.cli import options
from show1.cli.common import err, for_people, named_model, number_or_table, out, quiet_libraries

SHOWN = 20
"""Bad lines, and failed prompts, that are told on the screen; all are in results.jsonl."""


@for_people
def batch(
    prompts: Annotated[Path, typer.Argument(help="Prompts, one a line: plain text, or JSON with prompt, id, seed, settings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the videos; a batch that is there goes on.")],
    workers: Annotated[int, typer.Option(min=1, help="Workers for each stage; each holds that stage's networks.")] = 1,
    address: Annotated[str | None, typer.Option(help="A Ray cluster, such as 192.168.0.5:6379; this machine where not given.")] = None,
    shards: Annotated[bool, typer.Option("--shards", help="Pack the finished videos into WebDataset shards too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Line n without a seed of its own is made with seed + n - 1.")] = 0,
    negative_prompt: Annotated[str | None, typer.Option(help="What no video should show.")] = None,
    model: options.Model = None,
    stop_after: options.StopAfter = "latent",
    steps: options.StageSteps = None,
    guidance: options.StageGuidance = None,
    frames: options.Frames = None,
    ending: Annotated[str, typer.Option(help="Format: .mp4, .webm or .gif.")] = ".mp4",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each worker; as many as `show1 generate` uses here.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a stage that fails is tried again.")] = 1,
    keep_runs: Annotated[bool, typer.Option("--keep-runs", help="Keep every video's run, with all its stages.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; chosen by each worker where not given.")] = None,
    dtype: options.Dtype = None,
    compile: options.Compile = False,
) -> None:
    """Make the videos of many prompts, each the same as `show1 generate` makes it. Stopped, the same command goes on."""
    numbers = {"steps": number_or_table(steps, int, "--steps"), "guidance": number_or_table(guidance, float, "--guidance")}
    quiet_libraries()
    import torch

    from show1.batch.batch import Batch
    from show1.batch.prompts import read_prompts
    from show1.batch.shards import write_shards
    from show1.batch.workers import Plan, load_stage
    from show1.runs.request import Request

    name = named_model(model)
    asked: dict[str, Any] = {"model": name, "seed": seed, "negative_prompt": negative_prompt, "stop_after": stop_after, "frames": frames}
    defaults = Request(prompt="", ending=ending, **asked, **numbers)
    outline = load_stage(name, None, None if address else device, dtype)  # the workers' devices need not be here
    jobs, bad = read_prompts(prompts, defaults, outline.settings, lambda request: request.check(outline))
    _tell_lines(bad)
    _tell_unknown_words(outline, [job.request.prompt for job in jobs])
    how: dict[str, Any] = {"device": device, "dtype": dtype, "compiled": compile, "retries": retries, "keep_runs": keep_runs}
    plan = Plan(root="", token="", model=name, stop_after=stop_after, threads=threads or torch.get_num_threads(), **how)
    made = Batch(output, jobs, bad, plan, outline.settings)
    _make(made, workers, address)
    if shards:
        tars = write_shards(made.folder.shards, made.folder.videos, made.records())
        out.print(f"{len(tars)} shards in {made.folder.shards}", soft_wrap=True, markup=False)
    _tell_outcome(made)
    if bad or made.outcome.failed:
        raise typer.Exit(1)


def _make(made: Any, workers: int, address: str | None) -> None:
    with tqdm(total=len(made.jobs), desc="videos") as bar:

        def told(name: str) -> None:
            bar.update()
            if made.outcome.failed:
                bar.set_postfix(failed=len(made.outcome.failed))

        try:
            made.make(workers, address, bar.update, told)
        except KeyboardInterrupt:
            bar.close()
            done = f"{len(made.outcome.done)} of {len(made.jobs)} videos finished"
            err.print(f"stopped ({done}); the same command goes on", soft_wrap=True, markup=False)
            raise typer.Exit(130) from None


def _tell_lines(bad: list[Any]) -> None:
    for one in bad[:SHOWN]:
        err.print(f"line {one.line}: {one.error}", soft_wrap=True, markup=False)
    if len(bad) > SHOWN:
        err.print(f"and {len(bad) - SHOWN} more lines that cannot be used", soft_wrap=True, markup=False)


def _tell_unknown_words(outline: Any, prompts: list[str]) -> None:
    unknown = list(dict.fromkeys(word for prompt in prompts for word in outline.unknown_words(prompt)))
    if unknown:
        more = " and more" if len(unknown) > SHOWN else ""
        words = ", ".join(unknown[:SHOWN]) + more
        err.print(f"note: this model never learned: {words}. `show1 models` lists what it can draw.", soft_wrap=True, markup=False)


def _tell_outcome(made: Any) -> None:
    outcome = made.outcome
    for name, error in list(outcome.failed.items())[:SHOWN]:
        err.print(f"{name}: {error}", soft_wrap=True, markup=False)
    new = len(outcome.done) - outcome.kept
    told = f"{new} made, {outcome.kept} were there, {len(outcome.failed)} failed, {len(made.bad)} lines refused"
    out.print(f"{told} · {made.folder.results}", soft_wrap=True, markup=False)
