"""A call of each network at its published size, computed in several ways, against float32 and the machine's matrix rate; run by `one_gpu.py`.

Each network has a process of its own: they compile side by side, which takes minutes each, and take turns where time is measured.
"""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

WARM_UP, TIMED = 1, 4
USUAL, UNFUSED, WEIGHTS, OURS, COMPILED = "usual", "unfused", "weights", "ours", "compiled"
WAYS = {
    USUAL: "usual order",
    UNFUSED: "usual order, unfused attention",
    WEIGHTS: "weights with channels last",
    OURS: "all with channels last, frames in pairs",
    COMPILED: "compiled",
}
GRAPH, SEARCH = "CUDA graph", "cuDNN's search"


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


@dataclass
class Job:
    """What every process is told."""

    device: torch.device
    dtype: torch.dtype
    tiny: bool
    rate: float
    folder: Path
    profile: bool
    ways: list[str]
    turn: Any
    met: Any
    rows: Any


def measure(names: list[str], note: Callable[[dict[str, Any]], None], **job: Any) -> None:
    """Measure networks of those names; `note` takes each row when it is there."""
    context = multiprocessing.get_context("spawn")
    told = Job(**job, turn=context.Lock(), met=context.Barrier(len(names)), rows=context.SimpleQueue())
    processes = [context.Process(target=work, args=(name, told)) for name in names]

    def collect() -> None:
        while (row := told.rows.get()) is not None:
            note(row)

    collector = threading.Thread(target=collect)
    collector.start()
    for process in processes:
        process.start()
    running = {process.sentinel: process for process in processes}
    while running:
        for sentinel in multiprocessing.connection.wait(list(running)):
            if running.pop(sentinel).exitcode:
                told.met.abort()  # the others need not wait for it
    told.rows.put(None)
    collector.join()


def work(name: str, job: Job) -> None:
    """One network's process."""
    from show1.cascade.loading import quiet_libraries

    quiet_libraries()
    with job.turn:
        calls = Calls(name, job)
        with calls.failures("not compiled"):
            calls.plain()
        calls.free()
    if COMPILED not in job.ways:
        return
    together(job)
    with calls.failures("compiled"):
        calls.compile()
    together(job)  # inductor tries its kernels on the device at a network's first call
    with job.turn, calls.failures("compiled"):
        calls.compiled()


def together(job: Job) -> None:
    """Wait for the other networks, where they still run."""
    with suppress(threading.BrokenBarrierError):
        job.met.wait()


class Calls:
    """One network and the ways to call it."""

    def __init__(self, name: str, job: Job) -> None:
        from full_size import make_network
        from torch.utils.flop_counter import FlopCounterMode

        self.name, self.job, self.device = name, job, job.device
        self.network = make_network(name, job.tiny, job.device, job.dtype)
        self.call = inputs(shapes(job.tiny)[name], job.device, job.dtype)
        with torch.no_grad(), FlopCounterMode(display=False) as operations, normed_bytes(self.network) as sizes:
            self.network(**self.call)
        self.flop = operations.get_total_flops()
        print(f"{name}: {self.flop / 1e12:.3g} TFLOP a call; its group norms make {sum(sizes) / 1e9:.3g} GB", flush=True)
        self.wanted = self.exact()

    @torch.no_grad()
    def exact(self) -> torch.Tensor:
        """What the same weights make in float32, without the matrix units' shorter one; one by one, so that no tensor passes 2^31 bytes."""
        torch.backends.cudnn.allow_tf32 = False
        call = {key: value.float() if value.is_floating_point() else value for key, value in self.call.items()}
        self.network.float()
        made = [self.network(**{key: value[i : i + 1] for key, value in call.items()}).sample.cpu() for i in range(len(call["sample"]))]
        self.network.to(self.job.dtype)
        torch.backends.cudnn.allow_tf32 = True
        return torch.cat(made)

    def plain(self) -> None:
        """As torch has it, and one change after the other, to what show1 does on a GPU."""
        from show1.models import attention, norms
        from show1.models.layout import put_channels_last

        before = norms.MANY, attention.FRAMES
        norms.MANY, attention.FRAMES = sys.maxsize, 0
        self.row(USUAL)
        with sdpa_kernel(SDPBackend.MATH), self.failures(UNFUSED):
            self.row(UNFUSED)
        put_channels_last(self.network)
        self.row(WEIGHTS)
        norms.MANY, attention.FRAMES = before
        self.row(OURS, profile=True)
        self.graph(OURS)

    @torch.no_grad()
    def compile(self) -> None:
        """Compile as the pipeline does; the first call does it."""
        from show1.cascade.compiling import compiled

        started = time.perf_counter()
        self.network.forward = compiled(self.name, self.network.forward)
        self.network(**self.call)
        wait(self.device)
        print(f"{self.name}: compiled in {time.perf_counter() - started:.0f} s", flush=True)

    def compiled(self) -> None:
        """As compiled."""
        self.row(COMPILED, profile=True)
        self.graph(COMPILED)
        torch.backends.cudnn.benchmark = True
        with self.failures(SEARCH):
            self.row(COMPILED, SEARCH)
        torch.backends.cudnn.benchmark = False

    def graph(self, way: str) -> None:
        """The same as a CUDA graph, which only a GPU has."""
        if self.device.type == "cuda":
            with self.failures(GRAPH):
                self.row(way, GRAPH)

    @torch.no_grad()
    def row(self, way: str, change: str | None = None, *, profile: bool = False) -> None:
        """Measure one way, where it is asked for."""
        if way not in self.job.ways:
            return
        ask = lambda: self.network(**self.call).sample  # noqa: E731
        again = captured(ask, self.device) if change == GRAPH else ask
        seconds = seconds_a_call(again, self.device)
        made = again().float().cpu()
        values = {
            "ms": 1e3 * seconds,
            "share": self.flop / seconds / self.job.rate,
            "error": float((made - self.wanted).norm() / self.wanted.norm()),
        }
        self.job.rows.put({"network": self.name, "way": ", ".join([WAYS[way], *([change] if change else [])]), **values})
        if profile and self.job.profile:
            (self.job.folder / f"{self.name}-{way}.txt").write_text(profiled(ask, self.device))

    @contextmanager
    def failures(self, way: str) -> Iterator[None]:
        """A way that fails is a row too."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.job.rows.put({"network": self.name, "way": way, "failed": str(error)[:200]})
        self.free()

    def free(self) -> None:
        """Leave the device's memory to others."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def normed_bytes(network: torch.nn.Module) -> Iterator[list[int]]:
    """Bytes of what every group norm of a network makes meanwhile."""
    sizes: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _, given, made: sizes.append(made.numel() * made.element_size()))
        for module in network.modules()
        if isinstance(module, torch.nn.GroupNorm)
    ]
    yield sizes
    for hook in hooks:
        hook.remove()


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def captured(call: Callable[[], torch.Tensor], device: torch.device) -> Callable[[], torch.Tensor]:
    """A call as a CUDA graph: its kernels started all at once, its output in the same place each time."""
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        call()
    wait(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = call()

    def replay() -> torch.Tensor:
        graph.replay()
        return made

    return replay


def seconds_a_call(call: Callable[[], Any], device: torch.device) -> float:
    """The shortest of some calls after the first."""
    times = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - started)
    return min(times[WARM_UP:])


def profiled(call: Callable[[], Any], device: torch.device) -> str:
    """Where a call's time goes: operations by shape, and kernels."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities, record_shapes=True) as done:
        call()
        wait(device)
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    options = {"sort_by": order, "row_limit": 60, "max_name_column_width": 90, "max_shapes_column_width": 110}
    by_shape = done.key_averages(group_by_input_shape=True).table(**options)
    return by_shape + "\n" + done.key_averages().table(**options)
