"""With what a command makes its videos: a model loaded whole, or by plans within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from show1.cli.common import err, load_model, out
from show1.errors import SettingsError

Advance = Callable[..., object]
"""(run, options of `Run.advance`): makes what is missing of a run."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the options of a command say of it."""

    device: str | None = None
    dtype: str | None = None
    memory: str | int | None = None
    compiled: bool = False

    def ready(self, request: Any, *, has_image: bool) -> tuple[Any, Advance]:
        """The request's model (without weights, where memory is planned) and what lets a run go on."""
        if self.memory is None:
            pipeline = load_model(request.model, self.device, self.dtype, request.adapters, compiled=self.compiled)
            request.check(pipeline)  # refused before anything is written
            return pipeline, lambda run, **options: run.advance(pipeline, **options)
        outlines, plans = self.plans(request, has_image=has_image, here=True)
        out.print(str(plans[0]), soft_wrap=True, markup=False)
        return outlines, lambda run, **options: _advance_as_planned(request, plans, run, **options)

    def plans(self, request: Any, *, has_image: bool, here: bool) -> tuple[Any, list[Any]]:
        """The model without weights, and the plans for a request that fit; the default, without a budget. `here`: the device must be."""
        from show1.cascade.loading import load_outlines
        from show1.memory.plan import Planner, bytes_of

        if self.compiled:
            raise SettingsError("what compiled networks need is not predicted: use --compile without --memory and --dry-run")
        budget = None if self.memory is None else bytes_of(self.memory)
        with err.status("counting what each stage will need"):  # half a minute for the published sizes
            outlines, where, kind = load_outlines(request.model, self.device, self.dtype, here=here)
            settings = request.check(outlines)
            planner = Planner(outlines, settings, where, kind, request.stop_after, fixed_dtype=self.dtype is not None, has_image=has_image)
            return outlines, [planner.default()] if budget is None else planner.within(budget)


def _advance_as_planned(request: Any, plans: list[Any], run: Any, **options: Any) -> None:
    """Let a run go on by the first of some plans, or by a later one where memory runs out."""
    from show1.allocator import return_freed_memory
    from show1.cascade.loading import read_model
    from show1.memory.within import advance_within

    return_freed_memory()

    def load(plan: Any, outlines: Collection[str]) -> Any:
        return read_model(request.model, plan.dtype, outlines, request.adapters, int8_text=plan.int8_text)

    advance_within(run, plans, load, **options)
