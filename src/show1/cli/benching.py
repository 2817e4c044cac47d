"""`show1 bench`: what a run costs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from show1.cli import options
from show1.cli.common import for_people, load_model, out, quiet_libraries


@for_people
def bench(
    prompt: Annotated[str, typer.Argument(help="What the measured video shows.")] = "a rocket flies over the ocean at night",
    model: options.Model = None,
    seed: options.Seed = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Timed runs of each stage; the fastest counts.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the figures to this JSON file too.")] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Seconds, network calls, operations, share of the machine's matrix rate and peak memory, per stage."""
    quiet_libraries()
    from show1.allocator import kept_freed_memory
    from show1.cascade.settings import STAGES
    from show1.evaluation.costs import Bench, as_record, matrix_rate, table
    from show1.video import whole_file

    pipeline = load_model(model, device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    with tqdm(total=len(STAGES), desc="stages") as bar, kept_freed_memory():  # as a run has it
        costs = Bench(pipeline, prompt, seed, repeat).run(lambda _: bar.update())
    record = as_record(costs, matrix_rate(pipeline._execution_device, pipeline.keyframes_unet.dtype))
    if output is not None:
        with whole_file(output) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n")
    out.print(table(record), markup=False, soft_wrap=True)
