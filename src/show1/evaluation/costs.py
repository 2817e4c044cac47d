"""What a run costs: seconds, network calls, operations and memory, per stage and whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from show1.cascade.settings import STAGES
from show1.errors import SettingsError

MATRIX_SIZES, GPU_MATRIX_SIZES = (1024, 2048), (2048, 4096, 8192)
MATRIX_SECONDS = 0.5
WHOLE, TEXT = "all", "text"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one stage cost."""

    stage: str
    seconds: float
    calls: int
    """Forward passes of its networks (an encoded or decoded picture is one of the VAE)."""
    flop: int
    """Floating-point operations of convolutions, matrix products and attention; a multiplication and an addition are two."""
    memory: int
    """Peak bytes: resident in the process on a CPU, allocated on a GPU."""
    reserved: int | None
    """Peak bytes the allocator held on a GPU."""

    def rate(self) -> float:
        """Operations a second."""
        return self.flop / self.seconds if self.seconds else 0.0


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the best of some square matrix products: what this machine can do.

    Of random numbers: a GPU multiplies zeros and ones faster.
    """
    best, chance = 0.0, torch.Generator(device).manual_seed(0)
    for size in GPU_MATRIX_SIZES if device.type == "cuda" else MATRIX_SIZES:
        a, b = (torch.randn(size, size, generator=chance, device=device, dtype=dtype) for _ in range(2))
        a @ b
        _wait(device)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < MATRIX_SECONDS:
            a @ b
            _wait(device)
            count += 1
        best = max(best, 2 * size**3 * count / (time.perf_counter() - started))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Peak memory from `reset` on: exact on CUDA and Linux; elsewhere what is resident when it is read."""

    _RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Forget peaks so far."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self._RESET.exists():
            self._RESET.write_text("5")

    def read(self) -> tuple[int, int | None]:
        """Peak bytes, and those reserved on a GPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device), torch.cuda.max_memory_reserved(self.device)
        if self._STATUS.exists():
            line = next(line for line in self._STATUS.read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024, None
        return psutil.Process().memory_info().rss, None


@contextmanager
def counted_calls(networks: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Count forward passes of networks, by name; for a VAE, of its encoder and decoder."""
    counts = dict.fromkeys(networks, 0)

    def hook(name: str) -> Callable[..., None]:
        def count(*_: Any) -> None:
            counts[name] += 1

        return count

    parts = [(name, part) for name, network in networks.items() for part in _parts(network)]
    handles = [part.register_forward_pre_hook(hook(name)) for name, part in parts]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def _parts(network: Any) -> list[nn.Module]:
    return [network.encoder, network.decoder] if hasattr(network, "decoder") else [network]


class Bench:
    """Runs a pipeline stage by stage, each on what the one before it made.

    Args:
        pipeline: a `Show1Pipeline`, on its device.
        prompt: what to make.
        seed: and how.
        repeat: timed runs of each stage, of which the fastest counts; the counting of operations is a run of its own.
    """

    def __init__(self, pipeline: Any, prompt: str, seed: int = 0, repeat: int = 1) -> None:
        if repeat < 1:
            raise SettingsError(f"repeat is {repeat}; use 1 or more")
        self.pipeline, self.prompt, self.seed, self.repeat = pipeline, prompt, seed, repeat
        self.device = torch.device(pipeline._execution_device)
        self.networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}

    def run(self, progress: Callable[[str], object] = lambda stage: None) -> list[Cost]:
        """Costs of text, of every stage and of all; `progress` is called with each stage's name when it is done."""
        cost, texts = self._measure(TEXT, self._encode)
        costs = [cost]
        video: Tensor | None = None
        for index, stage in enumerate(STAGES):
            given = {} if video is None else {STAGES[index - 1]: video}

            def make(stage: str = stage, given: dict[str, Tensor] = given) -> Tensor:
                result = self.pipeline(seed=self.seed, given=given, stop_after=stage, output_type="pt", **texts)
                return result.stages()[stage]

            cost, video = self._measure(stage, make)
            costs.append(cost)
            progress(stage)
        return [*costs, _sum(costs)]

    def _encode(self) -> dict[str, Tensor]:
        positive, negative = self.pipeline.encode_prompt([self.prompt], [""])
        latent, latent_negative = self.pipeline.encode_latent_prompt([self.prompt], [""])
        names = ("prompt_embeds", "negative_prompt_embeds", "latent_prompt_embeds", "latent_negative_prompt_embeds")
        return dict(zip(names, (positive, negative, latent, latent_negative), strict=True))

    def _measure(self, stage: str, make: Callable[[], Any]) -> tuple[Cost, Any]:
        """The fastest of the timed runs, with the calls and operations of one more."""
        seconds, memory, result = [], PeakMemory(self.device), None
        for _ in range(self.repeat):
            _wait(self.device)
            started = time.perf_counter()
            result = make()
            _wait(self.device)
            seconds.append(time.perf_counter() - started)
        peak, reserved = memory.read()
        with counted_calls(self.networks) as calls, FlopCounterMode(display=False) as operations:
            make()
        flop, passes = operations.get_total_flops(), sum(calls.values())
        return Cost(stage=stage, seconds=min(seconds), calls=passes, flop=flop, memory=peak, reserved=reserved), result


def _sum(costs: list[Cost]) -> Cost:
    reserved = [cost.reserved for cost in costs if cost.reserved is not None]
    return Cost(
        stage=WHOLE,
        seconds=sum(cost.seconds for cost in costs),
        calls=sum(cost.calls for cost in costs),
        flop=sum(cost.flop for cost in costs),
        memory=max(cost.memory for cost in costs),
        reserved=max(reserved) if reserved else None,
    )


def as_record(costs: list[Cost], limit: float) -> dict[str, Any]:
    """Costs as plain values, with the machine's matrix rate and the share of it that was reached."""
    rows = [{**asdict(cost), "rate": cost.rate(), "share": cost.rate() / limit} for cost in costs]
    return {"matrix_rate": limit, "torch": torch.__version__, "threads": torch.get_num_threads(), "stages": rows}


def table(record: Mapping[str, Any]) -> str:
    """The record as a Markdown table; MB are 10^6 bytes, reserved ones a GPU's."""
    on_gpu = any(row["reserved"] is not None for row in record["stages"])
    names = ["stage", "seconds", "calls", "GFLOP", "GFLOP/s", "of the matrix rate", "peak MB", *(["reserved MB"] if on_gpu else [])]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in record["stages"]:
        cells = [row["stage"], f"{row['seconds']:.2f}", str(row["calls"]), f"{row['flop'] / 1e9:.1f}", f"{row['rate'] / 1e9:.1f}"]
        cells += [f"{100 * row['share']:.0f}%", f"{row['memory'] / 1e6:.0f}"]
        cells += [f"{row['reserved'] / 1e6:.0f}"] if on_gpu else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"matrix rate {record['matrix_rate'] / 1e9:.0f} GFLOP/s, {record['threads']} threads"]) + "\n"
