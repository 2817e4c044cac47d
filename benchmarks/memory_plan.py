"""Predicted and measured peak memory of the bundled model, stage by stage. Run: python benchmarks/memory_plan.py

Each dtype is planned and measured in a process of its own, with the steps that a stage can do with: all steps hold the same.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DTYPES = ("float32", "bfloat16")


def one(dtype: str, stop_after: str) -> None:
    """Plan, then run stage by stage in this process; print a line of the table for each stage."""
    from show1.cascade.loading import load_model, quiet_libraries

    quiet_libraries()
    import torch

    from show1.allocator import return_freed_memory
    from show1.cascade.settings import STAGES
    from show1.evaluation.costs import PeakMemory
    from show1.memory import plan_memory
    from show1.runs.request import Request
    from show1.runs.run import Run

    return_freed_memory()
    plan = plan_memory("1TB", device="cpu", dtype=dtype, stop_after=stop_after)
    pipeline = load_model(None, "cpu", dtype)
    pipeline.set_progress_bar_config(disable=True)
    steps = fewest_steps(pipeline.settings)
    memory = PeakMemory(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", Request(prompt="a rocket flies over the ocean at night", seed=0, steps=steps))
        for stage in STAGES[: STAGES.index(stop_after) + 1]:
            memory.reset()
            run.advance(pipeline, until=stage)
            print(line(dtype, stage, plan.peaks[stage], memory.read()[0]), flush=True)


def fewest_steps(settings: Any) -> dict[str, int]:
    """So many steps of each stage that its strength leaves one to run."""
    from show1.cascade.settings import SAMPLERS

    strengths = {name: getattr(settings, name).strength or 1.0 for name in SAMPLERS}
    return {name: math.ceil(1 / strength - 1e-9) for name, strength in strengths.items()}


def line(dtype: str, stage: str, predicted: int, measured: int) -> str:
    """A row of the table; MB are 10^6 bytes."""
    return f"| {dtype} | {stage} | {predicted / 1e6:.0f} | {measured / 1e6:.0f} | {100 * (predicted / measured - 1):+.1f}% |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=DTYPES, help="measure one in this process")
    parser.add_argument("--stop-after", default="latent")
    asked = parser.parse_args()
    if asked.dtype:
        one(asked.dtype, asked.stop_after)
        return
    print("| dtype | stage | predicted MB | measured MB | error |\n|---|---|---|---|---|", flush=True)
    for dtype in DTYPES:
        subprocess.run([sys.executable, __file__, "--dtype", dtype, "--stop-after", asked.stop_after], check=True)


if __name__ == "__main__":
    main()
