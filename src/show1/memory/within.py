"""Running by a plan; and by the next smaller one where memory runs out in spite of it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch

from show1.cascade.loading import NETWORKS
from show1.cascade.settings import STAGES
from show1.errors import SettingsError
from show1.memory.plan import GROUPS, MODEL, STAGEWISE, Plan
from show1.runs.fingerprint import fingerprints
from show1.runs.making import encode_texts
from show1.runs.request import OWN_COMPONENTS

logger = logging.getLogger(__name__)

CPU_MESSAGE = "DefaultCPUAllocator"

Load = Callable[[Plan, Collection[str]], Any]
"""(plan, networks to leave out) -> a pipeline in main memory."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and CPU_MESSAGE in str(error)


def advance_within(run: Any, plans: Iterable[Plan], load: Load, **options: Any) -> str:
    """Let a run go on by the first of some plans; where memory runs out, by the next. Finished stages are not made again.

    Args:
        run: a `show1.runs.run.Run`.
        plans: from `Planner.within`.
        load: loads the run's model.
        options: of `Run.advance`.

    Returns:
        The run's state.

    Raises:
        SettingsError: memory ran out in the last plan too.
    """
    for plan in plans:
        try:
            return _advance(run, plan, load, {"memory": plan.budget, **options})
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            logger.warning("out of memory; going on in smaller portions (finished: %s)", ", ".join(run.finished) or "nothing")
        _free()  # out here: the error held the stage's tensors
    raise SettingsError("memory ran out, and there is no smaller plan; close other programs, or make a smaller video")


def _advance(run: Any, plan: Plan, load: Load, options: dict[str, Any]) -> str:
    if plan.held != STAGEWISE:
        return run.advance(ready(plan, load), **options)
    state = run.state
    texts: dict[str, Any] = {}
    prints: dict[str, str] = {}
    wanted = STAGES[: STAGES.index(run.request.stop_after) + 1]
    networks = set(NETWORKS)
    for stage in [stage for stage in wanted if stage not in run.finished] or wanted[-1:]:
        if stage != "latent" and not texts:
            pipeline = ready(plan, load, networks - {"text_encoder"})
            texts.update(encode_texts(pipeline, run.request, run.request.cascade(pipeline.settings)))
            prints["text_encoder"] = fingerprints(pipeline)["text_encoder"]  # the stages are run without it
            del pipeline
            _free()
        pipeline = ready(plan, load, networks - (set(OWN_COMPONENTS[stage]) - {"text_encoder"}))
        last = stage == wanted[-1]
        options = {**options, "texts": texts, "prints": {**prints, **fingerprints(pipeline)}, "until": None if last else stage}
        state = run.advance(pipeline, **options)
        del pipeline
        _free()
    return state


def ready(plan: Plan, load: Load, outlines: Collection[str] = ()) -> Any:
    """The model as a plan has it, on a GPU held to its budget: what torch would take beyond it is out of memory."""
    pipeline = load(plan, outlines)
    if plan.budget is not None and plan.device.type == "cuda":
        index = torch.cuda.current_device() if plan.device.index is None else plan.device.index
        total = torch.cuda.get_device_properties(index).total_memory
        torch.cuda.set_per_process_memory_fraction(min(plan.budget / total, 1.0), index)
    streams = plan.device.type == "cuda"
    layers: dict[str, Any] = {"offload_type": "leaf_level", "use_stream": streams, "low_cpu_mem_usage": streams}
    if plan.held == MODEL:
        if plan.layered_text:
            pipeline.enable_text_encoder_offload(plan.device, **layers)
        pipeline.enable_model_cpu_offload(device=plan.device)
    elif plan.held == GROUPS:
        pipeline.enable_group_offload(plan.device, **layers)
    else:
        pipeline.to(plan.device)
    pipeline.spare(plan.thrift)
    return pipeline


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
