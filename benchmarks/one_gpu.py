"""The cascade at its published sizes (random weights) on one GPU: memory, time, and each network's share of the matrix rate.

Run: python benchmarks/one_gpu.py FOLDER [--budget 8GB] [--steps N] [--parts ...] [--networks ...] [--published CODE PYTHON] [--tiny --device cpu]

FOLDER takes the cascade (27 GB) and a JSON file a part. Parts, each in a process of its own:
`plan`: what the default run and every smaller plan would need on a GPU; neither weights nor a GPU are needed for it;
`networks`: a call of each network as the cascade makes it, before and after channels-last, fused attention, torch.compile and CUDA graphs,
against float32, each network's rows written down when they are there;
`published`: the same calls of the published video network, by an interpreter PYTHON that has its dependencies and its code's folder CODE;
`whole`: the default run, stage by stage, with the peak it was predicted; `budget`: the run that `--memory` plans, likewise.
`--tiny --device cpu` tries the measuring itself on networks of the same parts.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

UNFUSED = "unfused attention"
MODES: dict[str, dict[str, Any] | None] = {
    UNFUSED: None,
    "as it is": None,
    "channels last": None,
    "compiled": {},
    "CUDA graphs": {"mode": "reduce-overhead"},
}
WARM_UP, TIMED = 3, 10
PROMPT = "a panda eats bamboo in the snow, slow motion"


def shapes(tiny: bool) -> dict[str, dict[str, tuple[int, ...]]]:
    """Inputs of each network in the published cascade, guided half and unguided half together, and how often it is called."""
    text, clip = (32, 32) if tiny else (4096, 1024)
    low, high, final = ((16, 16), (32, 32), (8, 16)) if tiny else ((40, 64), (160, 256), (40, 72))
    return {
        "keyframes_unet": {"sample": (2, 3, 8, *low), "text": (2, 77, text)},
        "interpolation_unet": {"sample": (14, 7, 5, *low), "text": (14, 77, text)},
        "first_frame_unet": {"sample": (2, 6, *high), "text": (2, 77, text), "class_labels": (2,)},
        "pixel_upscale_unet": {"sample": (2, 6, 8, *high), "text": (2, 77, text), "class_labels": (2,)},
        "latent_unet": {"sample": (2, 4, 29, *final), "text": (2, 77, clip)},
    }


def inputs(shape: dict[str, tuple[int, ...]], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Random tensors of one call."""
    chance = torch.Generator().manual_seed(0)
    sample, text = (torch.randn(shape[name], generator=chance).to(device, dtype) for name in ("sample", "text"))
    call = {"sample": sample, "timestep": torch.full((len(sample),), 500, device=device), "encoder_hidden_states": text}
    if "class_labels" in shape:
        call["class_labels"] = torch.full(shape["class_labels"], 100, device=device)
    return call


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def seconds_a_call(call: Callable[[], Any], device: torch.device) -> float:
    """Of some calls after the first few."""
    for _ in range(WARM_UP):
        call()
    wait(device)
    started = time.perf_counter()
    for _ in range(TIMED):
        call()
    wait(device)
    return (time.perf_counter() - started) / TIMED


@torch.no_grad()
def measure_network(name: str, device: torch.device, dtype: torch.dtype, tiny: bool, limit: float) -> list[dict[str, Any]]:
    """A row for each way of computing one network's call."""
    from full_size import make_network
    from torch.utils.flop_counter import FlopCounterMode

    network = make_network(name, tiny, device, dtype)
    shape, rows = shapes(tiny)[name], []
    call = inputs(shape, device, dtype)
    # .float() of the same weights: what 16 bits and each way of computing move it by
    exact = {key: value.float() if value.is_floating_point() else value for key, value in call.items()}
    wanted = network.float()(**exact).sample.cpu()
    network.to(dtype)
    with FlopCounterMode(display=False) as operations:
        network(**call)
    flop = operations.get_total_flops()
    for mode, compiling in MODES.items():
        if mode == "CUDA graphs" and device.type != "cuda":
            continue
        if mode not in (UNFUSED, "as it is"):
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):  # not those over time, whose weights have five dimensions
                    layer.to(memory_format=torch.channels_last)
        run = network if compiling is None else torch.compile(network, **compiling)
        with sdpa_kernel(SDPBackend.MATH) if mode == UNFUSED else nullcontext():
            seconds = seconds_a_call(lambda run=run: run(**call), device)
            made = run(**call).sample.float().cpu()
        error = float((made - wanted).norm() / wanted.norm())
        rows.append({"network": name, "mode": mode, "ms": 1e3 * seconds, "share": flop / seconds / limit, "error": error})
        print(f"| {name} | {mode} | {1e3 * seconds:.1f} | {flop / seconds / limit:.0%} | {error:.1e} |", flush=True)
        torch.compiler.reset()
    return rows


def networks(asked: argparse.Namespace) -> Any:
    """Part `networks`."""
    from show1.evaluation.costs import matrix_rate

    dtype = getattr(torch, asked.dtype)
    limit, rows = matrix_rate(asked.device, dtype), []
    print("| network | mode | ms a call | of the matrix rate | from float32 |\n|---|---|---|---|---|", flush=True)
    for name in asked.networks or shapes(asked.tiny):
        rows += measure_network(name, asked.device, dtype, asked.tiny, limit)
        write(asked, {"matrix_rate": limit, "rows": rows})  # here too: compiling the next may outlast the time there is
        gc.collect()
        if asked.device.type == "cuda":
            torch.cuda.empty_cache()
    return {"matrix_rate": limit, "rows": rows}


def planner_of(asked: argparse.Namespace, device: torch.device) -> Any:
    """Plans for the published sizes on a device that need not be here."""
    from full_size import make_outlines

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
        measured[what] = memory.read()[0]
        memory.reset()
        told = plans[0].peaks.get(what, 0)
        print(f"{what}: {measured[what] / 1e9:.2f} GB, predicted {told / 1e9:.2f} GB, {time.perf_counter() - started:.0f} s", flush=True)

    def load(plan: Any, absent: Any) -> Any:
        if "text_encoder" in absent and "text" not in measured:
            note("text")  # where stages are loaded one by one, it was a stage of its own
        pipeline = read_model(model, plan.dtype, absent, int8_text=plan.int8_text)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", request)
        advance_within(run, plans, load, on_stage=note)
    return {"seconds": time.perf_counter() - started, "measured": measured, "predicted": plans[0].peaks}


def published(asked: argparse.Namespace) -> Any:
    """The same calls of the published video network, in its own interpreter."""
    from full_size import make_network

    code, python = asked.published
    script = Path(__file__).with_name("one_gpu_published.py")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("keyframes_unet", "interpolation_unet", "pixel_upscale_unet"):
            make_network(name, asked.tiny, torch.device("meta"), torch.float32).save_config(folder / name)
        calls = {name: shape for name, shape in shapes(asked.tiny).items() if (folder / name).is_dir()}
        calls["interpolation_unet"] = {key: (2, *size[1:]) for key, size in calls["interpolation_unet"].items()}  # window by window
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
}


def write(asked: argparse.Namespace, measured: Any) -> None:
    """Write down what a part measured."""
    (asked.folder / f"{asked.part}.json").write_text(json.dumps(measured, indent=1) + "\n")


def main() -> None:
    """Write the cascade, then run every part in a process of its own."""
    from show1.cascade.loading import quiet_libraries
    from show1.cli.common import number_or_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=MEASURE, default=["plan", "networks", "whole", "budget"])
    parser.add_argument("--part", choices=MEASURE, help="run this one in this process")
    parser.add_argument("--networks", nargs="+", choices=shapes(tiny=False), help="of the part of that name; all where not given")
    parser.add_argument("--published", nargs=2, metavar=("CODE", "PYTHON"), help="needed for the part of that name")
    parser.add_argument("--budget", default="8GB")
    parser.add_argument("--steps", help="of every sampler, or by name as of `show1 generate`; the published numbers where not given")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16"])
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    asked.steps = number_or_table(asked.steps, int, "--steps")
    quiet_libraries()
    if asked.part:
        write(asked, MEASURE[asked.part](asked))
        return
    if "published" in asked.parts and not asked.published:
        parser.error("the part 'published' needs --published CODE PYTHON")
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not (asked.folder / "model").is_dir() and {"whole", "budget"} & set(asked.parts):
        from full_size import save_cascade

        save_cascade(asked.folder / "model", asked.tiny, asked.device)
    for part in asked.parts:
        print(f"\n## {part}", flush=True)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], check=False)  # the others count all the same


if __name__ == "__main__":
    main()
