"""A memory budget -> a plan: how a cascade runs within it, and what each stage will need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch

from show1.cascade.loading import keeps_all
from show1.cascade.settings import STAGES, CascadeSettings
from show1.cascade.thrift import Thrift
from show1.errors import SettingsError
from show1.memory.stages import PHASES, TEXT, Trial
from show1.models.loading import can_quantise

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
WHOLE, MODEL, GROUPS, STAGEWISE = "whole", "model", "groups", "stages"
HELD = {
    WHOLE: "all weights at once",
    MODEL: "weights in main memory, each network on the device while it works",
    GROUPS: "weights in main memory, each layer on the device while it works",
    STAGEWISE: "stage by stage: each stage's weights are read from disk when its turn comes",
}
GUIDED = {"keyframes": ("keyframes",), "interpolation": ("interpolation",), "pixel": ("first_frame", "pixel"), "latent": ("latent",)}
FIRST_USE = 60 * 10**6
"""Bytes that a process on a CPU grows by when it computes for the first time: code of torch's libraries that was not read
before, and the kernels that oneDNN writes for the shapes it meets. Measured: see docs/performance.md."""


def bytes_of(size: str | float) -> int:
    """A size such as 8GB (10^9), 500 MB or 1.5GiB (2^30), or a number of bytes.

    Raises:
        SettingsError: it is no size.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Z]*)", str(size).strip().upper())
    if match is None or (match[2] or "B") not in UNITS:
        raise SettingsError(f"'{size}' is no size of memory; write it as 8GB, 900MB or 1.5GiB")
    return int(float(match[1]) * UNITS[match[2] or "B"])


def told(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a cascade is run, and the memory it will need."""

    device: torch.device
    dtype: torch.dtype
    held: str = WHOLE
    """Which weights are there at a time: `whole`, `model` and `groups` (diffusers' offloading), or `stages`."""
    int8_text: bool = False
    """Whether T5 is held in 8 bits."""
    layered_text: bool = False
    """Whether T5 is on the device layer by layer, where other networks are there whole."""
    thrift: Thrift = field(default_factory=Thrift)
    budget: int | None = None
    """Bytes that are not to be passed, where a number is named."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Predicted peak of each stage in bytes: of the process on a CPU, allocated on a GPU."""

    @property
    def peak(self) -> int:
        """The highest of them."""
        return max(self.peaks.values())

    def __str__(self) -> str:
        portions = [f"guidance of {', '.join(self.thrift.apart)} in two calls"] if self.thrift.apart else []
        portions += [f"interpolation {self.thrift.windows} windows at a time"] if self.thrift.windows else []
        portions += ["VAE in tiles"] if self.thrift.tiling else []
        portions += ["T5 in 8 bits"] if self.int8_text else []
        portions += ["T5 layer by layer"] if self.layered_text else []
        how = [f"{str(self.dtype).removeprefix('torch.')} on {self.device}", HELD[self.held], *portions]
        each = " · ".join(f"{stage} {told(size)}" for stage, size in self.peaks.items())
        return f"plan: {'; '.join(how)}\npredicted peak: {told(self.peak)} ({each})"


class Planner:
    """Plans for one model, from the fastest to the smallest.

    Args:
        model: a pipeline of outlines, see `show1.cascade.loading.load_outlines`.
        settings: how it samples; the model's own where None.
        device, dtype: where and what it computes in.
        stop_after: last stage.
        fixed_dtype: the dtype is asked for and stays.
        has_image: the first frame is given.
    """

    def __init__(
        self,
        model: Any,
        settings: CascadeSettings | None,
        device: torch.device,
        dtype: torch.dtype,
        stop_after: str = STAGES[-1],
        *,
        fixed_dtype: bool = False,
        has_image: bool = False,
    ) -> None:
        self.settings = model.settings if settings is None else settings
        self.trial = Trial(model, self.settings, device, has_image)
        self.phases = PHASES[: PHASES.index(stop_after) + 1]
        self.device, self.dtype, self.fixed_dtype = device, dtype, fixed_dtype
        self.process = psutil.Process().memory_info().rss + FIRST_USE if device.type == "cpu" else 0

    def default(self) -> Plan:
        """The plan that is followed where no budget is named; see `show1.cascade.loading.put`."""
        whole = Plan(device=self.device, dtype=self.dtype)
        return self._predicted(whole if keeps_all(self._weights(whole, STAGES[0]), self.device) else replace(whole, held=MODEL))

    def plans(self) -> Iterator[Plan]:
        """Every plan takes one measure more than the one before it: the cheapest that helps the stage with the highest peak."""
        plan: Plan | None = self._predicted(Plan(device=self.device, dtype=self.dtype))
        while plan is not None:
            yield plan
            plan = self._smaller(plan)

    def within(self, budget: int) -> list[Plan]:
        """The first plan that fits, and those after it, to fall back on.

        Raises:
            SettingsError: none fits.
        """
        plans = list(self.plans())
        fitting = [index for index, plan in enumerate(plans) if plan.peak <= budget]
        if not fitting:
            least = plans[-1]
            raise SettingsError(
                f"{told(budget)} of memory is too little for this model: the smallest plan needs {told(least.peak)}\n{least}"
            )
        return [replace(plan, budget=budget) for plan in plans[fitting[0] :]]

    def _smaller(self, plan: Plan) -> Plan | None:
        tight = max(plan.peaks, key=lambda stage: plan.peaks[stage])
        for measure in self._measures(plan, tight):
            smaller = self._predicted(measure)
            if smaller.peaks[tight] < plan.peaks[tight] and smaller.peak <= plan.peak:
                return smaller
        return None

    def _measures(self, plan: Plan, stage: str) -> Iterator[Plan]:
        """What may help a stage, the cheapest first."""
        thrift = plan.thrift
        guided = [name for name in GUIDED.get(stage, ()) if getattr(self.settings, name).guidance > 1 and name not in thrift.apart]
        if guided:
            yield replace(plan, thrift=replace(thrift, apart=(*thrift.apart, *guided)))
        windows = thrift.windows or self.settings.num_keyframes - 1
        if stage == "interpolation" and windows > 1:
            yield replace(plan, thrift=replace(thrift, windows=-(-windows // 2)))
        if stage == TEXT and plan.held == MODEL and not plan.layered_text:
            if can_quantise() and not plan.int8_text:  # on a CPU, reading it takes what it saves
                yield replace(plan, int8_text=True)
            yield replace(plan, int8_text=False, layered_text=True)
        ways = (WHOLE, STAGEWISE) if self.device.type == "cpu" else (WHOLE, MODEL, GROUPS)
        if plan.held != ways[-1]:
            yield replace(plan, held=ways[ways.index(plan.held) + 1], int8_text=False, layered_text=False)
        if plan.dtype == torch.float32 and not self.fixed_dtype:
            yield replace(plan, dtype=torch.bfloat16)
        if stage == "latent" and not thrift.tiling:
            yield replace(plan, thrift=replace(thrift, tiling=True))

    def _predicted(self, plan: Plan) -> Plan:
        peaks = {}
        for phase in self.phases:
            working = self.trial.working(phase, plan.dtype, plan.thrift)
            peaks[phase] = self.process + self._weights(plan, phase) + working
        return replace(plan, peaks=peaks)

    def _weights(self, plan: Plan, phase: str) -> int:
        """Bytes of the weights that are there in a phase."""
        names = self._present(plan, phase)
        if plan.held == GROUPS or (plan.layered_text and phase == TEXT):  # a layer, and the one that is fetched meanwhile
            return sum(sorted(size for name in names for size in self.trial.layers(name, plan.dtype))[-2:])
        sizes = [self.trial.weights(name, plan.dtype, plan.int8_text and name == "text_encoder") for name in names]
        if plan.held != MODEL:
            return sum(sizes)
        return max(sizes[0], sum(sizes[1:])) if phase == STAGES[-1] else max(sizes)  # the VAE stays while its latents are denoised

    def _present(self, plan: Plan, phase: str) -> Sequence[str]:
        if plan.held != WHOLE:
            return self.trial.used(phase)
        passing = self.trial.model.load_text_encoder is not None and phase != TEXT  # T5 was freed again
        return [name for name in self.trial.networks if not (passing and name == "text_encoder")]
