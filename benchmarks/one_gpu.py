"""The cascade at its published sizes (random weights) on one GPU: memory, time, and each network's share of the matrix rate.

Run: python benchmarks/one_gpu.py FOLDER [--budget 8GB] [--steps N] [--parts ...] [--networks ...] [--ways ...] [--profile] [--published CODE PYTHON] [--tiny --device cpu]

FOLDER takes the cascade (27 GB) and a JSON file a part. Parts, each in a process of its own:
`plan`: what the default run and every smaller plan would need on a GPU; neither weights nor a GPU are needed for it;
`networks`: a call of each network as the cascade makes it, before and after channels-last, fused attention, torch.compile and CUDA graphs,
against float32, each row written down when it is there (`--profile`: and where the time goes);
`published`: the same calls of the networks that the published code runs, by an interpreter PYTHON that has its dependencies and its code's folder CODE;
`whole`: the default run, stage by stage, with the peak it was predicted; `budget`: the run that `--memory` plans, likewise;
`stages`: single stages held to `--most` and to `--budget` of memory, with weights that are made on the spot.
`--tiny --device cpu` tries the measuring itself on networks of the same parts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from full_size import make_network, make_outlines, save_cascade
from network_calls import TIMED, WARM_UP, WAYS, measure, shapes

PROMPT = "a panda eats bamboo in the snow, slow motion"


def networks(asked: argparse.Namespace) -> Any:
    """Part `networks`."""
    from show1.evaluation.costs import matrix_rate

    dtype = getattr(torch, asked.dtype)
    result: dict[str, Any] = {"device": device_name(asked.device), "matrix_rate": matrix_rate(asked.device, dtype), "rows": []}
    print(f"{result['device']}, matrix rate {result['matrix_rate'] / 1e12:.3g} TFLOP/s\n", flush=True)
    print("| network | way | ms a call | of the matrix rate | from float32 |\n|---|---|---|---|---|", flush=True)

    def note(row: dict[str, Any]) -> None:
        values = [row["failed"], "", ""] if "failed" in row else [f"{row['ms']:.1f}", f"{row['share']:.0%}", f"{row['error']:.1e}"]
        print("| " + " | ".join([row["network"], row["way"], *values]) + " |", flush=True)
        result["rows"].append(row)
        write(asked, result)  # here too: compiling may outlast the time there is

    names = asked.networks or list(shapes(asked.tiny))
    job = {"device": asked.device, "dtype": dtype, "tiny": asked.tiny, "rate": result["matrix_rate"]}
    measure(names, note, **job, folder=asked.folder, profile=asked.profile, ways=asked.ways)
    return result


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def planner_of(asked: argparse.Namespace, device: torch.device) -> Any:
    """Plans for the published sizes on a device that need not be here."""
    from show1.memory.plan import Planner

    dtype = getattr(torch, asked.dtype)
    return Planner(make_outlines(asked.tiny, dtype), None, device, dtype, fixed_dtype=True)


def plan(asked: argparse.Namespace) -> Any:
    """Part `plan`."""
    planner = planner_of(asked, torch.device("cuda"))
    default = planner.default()
    print(f"default: {default}", flush=True)
    smaller = list(planner.plans())
    print(*smaller, sep="\n", flush=True)
    return {"default": default.peaks, "plans": [{"how": str(one), "peaks": one.peaks} for one in smaller]}


def whole(asked: argparse.Namespace) -> Any:
    """Part `whole`."""
    from show1.cascade.loading import load_model
    from show1.evaluation.costs import Bench, as_record, matrix_rate, table

    predicted = planner_of(asked, asked.device).default().peaks
    pipeline = load_model(str(asked.folder / "model"), str(asked.device), asked.dtype)
    pipeline.settings = pipeline.settings.with_samplers("steps", asked.steps)
    pipeline.set_progress_bar_config(disable=True)
    record = as_record(Bench(pipeline, PROMPT).run(), matrix_rate(asked.device, getattr(torch, asked.dtype)))
    print(table(record), flush=True)
    print("predicted peaks, MB:", {stage: round(size / 1e6) for stage, size in predicted.items()}, flush=True)
    return {**record, "predicted": predicted}


def tell(what: str, memory: Any, plan: Any, stage: str, started: float) -> dict[str, Any]:
    """Print a stage's peak beside what it was predicted, and return them."""
    (peak, reserved), told = memory.read(), plan.peaks.get(stage, 0)
    held, passed = f" ({reserved / 1e9:.2f} reserved)" if reserved else "", time.perf_counter() - started
    print(f"{what}: {peak / 1e9:.2f} GB{held}, predicted {told / 1e9:.2f} GB, {passed:.0f} s", flush=True)
    return {"peak": peak, "reserved": reserved, "predicted": told}


def budget(asked: argparse.Namespace) -> Any:
    """Part `budget`."""
    from show1.allocator import return_freed_memory
    from show1.cascade.loading import read_model
    from show1.evaluation.costs import PeakMemory
    from show1.memory.plan import bytes_of
    from show1.memory.within import advance_within
    from show1.runs.request import Request
    from show1.runs.run import Run

    return_freed_memory()
    model, device = str(asked.folder / "model"), asked.device
    request = Request(prompt=PROMPT, seed=0, model=model, steps=asked.steps)
    plans = planner_of(asked, device).within(bytes_of(asked.budget))
    print(plans[0], flush=True)

    memory, started, measured = PeakMemory(device), time.perf_counter(), {}

    def note(what: str) -> None:
        measured[what] = tell(what, memory, plans[0], what, started)
        memory.reset()

    def load(plan: Any, absent: Any) -> Any:
        if "text_encoder" in absent and "text" not in measured:
            note("text")  # where stages are loaded one by one, it was a stage of its own
        pipeline = read_model(model, plan.dtype, absent, int8_text=plan.int8_text)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", request)
        advance_within(run, plans, load, on_stage=note)
    return {"seconds": time.perf_counter() - started, "measured": measured}


def stages(asked: argparse.Namespace) -> Any:
    """Part `stages`."""
    from show1.evaluation.costs import PeakMemory
    from show1.memory.plan import bytes_of

    planner, measured = planner_of(asked, asked.device), {}
    planner.phases = tuple(asked.stages)  # the others would be counted for nothing
    plans = {"default": replace(planner.default(), budget=bytes_of(asked.most)), "budget": planner.within(bytes_of(asked.budget))[0]}
    for stage in asked.stages:
        run, memory = Alone(stage, asked), PeakMemory(asked.device)
        for name, plan in plans.items():
            run.prepare(plan)
            memory.reset()
            started = time.perf_counter()
            run.make()
            what = f"{stage}, {name}"
            measured[what] = tell(what, memory, plan, stage, started)
            write(asked, measured)
        del run
    return measured


class Alone:
    """One stage on random pictures and text, with no networks but its own."""

    def __init__(self, stage: str, asked: argparse.Namespace) -> None:
        from show1.cascade.loading import NETWORKS
        from show1.cascade.settings import STAGES
        from show1.runs.request import OWN_COMPONENTS

        self.stage, dtype = stage, getattr(torch, asked.dtype)
        self.pipeline = pipeline = make_outlines(asked.tiny, dtype)
        pipeline.set_progress_bar_config(disable=True)
        settings = pipeline.settings = pipeline.settings.with_samplers("steps", asked.steps)
        text = settings.max_text_tokens, pipeline.keyframes_unet.config.encoder_hid_dim
        clip = pipeline.latent_tokenizer.model_max_length, pipeline.latent_unet.config.cross_attention_dim
        sizes = {"prompt_embeds": text, "negative_prompt_embeds": text, "latent_prompt_embeds": clip, "latent_negative_prompt_embeds": clip}
        self.texts = {name: torch.randn(1, *size).to(dtype) for name, size in sizes.items()}
        own = [name for name in NETWORKS if name in OWN_COMPONENTS[stage] and "text_encoder" not in name]  # the texts are given
        pipeline.register_modules(**{name: make_network(name, asked.tiny, asked.device, dtype).cpu() for name in own})
        self.given: dict[str, torch.Tensor] = {}
        if stage != STAGES[0]:
            before = STAGES[STAGES.index(stage) - 1]
            width, height = settings.stage_sizes()[before]
            frames = settings.num_keyframes if before == STAGES[0] else len(settings.frame_times())
            self.given = {before: torch.rand(1, 3, frames, height, width) * 2 - 1}

    def prepare(self, plan: Any) -> None:
        """As a plan has it."""
        from show1.memory.within import ready

        ready(plan, lambda *_: self.pipeline)

    def make(self) -> None:
        """The stage's video."""
        self.pipeline(seed=0, given=self.given, stop_after=self.stage, output_type="pt", **self.texts)


def published(asked: argparse.Namespace) -> Any:
    """The same calls of the published code's networks, in its own interpreter."""
    code, python = asked.published
    script = Path(__file__).with_name("one_gpu_published.py")
    calls = {name: {**shape, "times": 1} for name, shape in shapes(asked.tiny).items()}
    windows = calls["interpolation_unet"]  # one after the other there
    windows |= {"times": 7, **{key: (2, *windows[key][1:]) for key in ("sample", "text")}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in calls:
            make_network(name, asked.tiny, torch.device("meta"), torch.float32).save_config(folder / name)
        job = {"calls": calls, "dtype": asked.dtype, "device": str(asked.device), "warm_up": WARM_UP, "timed": TIMED}
        (folder / "job.json").write_text(json.dumps(job))
        subprocess.run([python, str(script), code, str(folder)], check=True)
        return json.loads((folder / "result.json").read_text())


MEASURE: dict[str, Callable[[argparse.Namespace], Any]] = {
    "plan": plan,
    "networks": networks,
    "published": published,
    "whole": whole,
    "budget": budget,
    "stages": stages,
}


def write(asked: argparse.Namespace, measured: Any) -> None:
    """Write down what a part measured."""
    (asked.folder / f"{asked.part}.json").write_text(json.dumps(measured, indent=1) + "\n")


def main() -> None:
    """Write the cascade, then run every part in a process of its own."""
    from show1.allocator import without_gaps
    from show1.cascade.loading import quiet_libraries
    from show1.cli.common import number_or_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=MEASURE, default=["plan", "networks", "whole", "budget"])
    parser.add_argument("--part", choices=MEASURE, help="run this one in this process")
    parser.add_argument("--networks", nargs="+", choices=shapes(tiny=False), help="of the part of that name; all where not given")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of calling the networks; compiling takes minutes")
    parser.add_argument("--profile", action="store_true", help="also write down where the calls' time goes")
    parser.add_argument("--published", nargs=2, metavar=("CODE", "PYTHON"), help="needed for the part of that name")
    parser.add_argument("--budget", default="8GB")
    parser.add_argument("--most", default="15GB", help="what the default run is held to in the part 'stages'")
    parser.add_argument("--stages", nargs="+", default=["keyframes", "interpolation", "pixel", "latent"])
    parser.add_argument("--steps", help="of every sampler, or by name as of `show1 generate`; the published numbers where not given")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16"])
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    asked.steps = number_or_table(asked.steps, int, "--steps")
    quiet_libraries()
    without_gaps()
    if asked.part:
        write(asked, MEASURE[asked.part](asked))
        return
    if "published" in asked.parts and not asked.published:
        parser.error("the part 'published' needs --published CODE PYTHON")
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not (asked.folder / "model").is_dir() and {"whole", "budget"} & set(asked.parts):
        save_cascade(asked.folder / "model", asked.tiny, asked.device)
    for part in asked.parts:
        print(f"\n## {part}", flush=True)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], check=False)  # the others count all the same


if __name__ == "__main__":
    main()
