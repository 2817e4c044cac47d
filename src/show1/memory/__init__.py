"""What fits: predicted memory, and plans that stay within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from show1.memory.plan import Plan


def plan_memory(
    budget: str | float, model: str | None = None, *, device: str | None = None, dtype: str | None = None, stop_after: str = "latent"
) -> Plan:
    """How a model runs within a budget, from its configuration alone: no weights are loaded.

    Args:
        budget: such as 8GB, or bytes: of the whole process on a CPU, of the device's memory on a GPU.
        model: a folder, a hub id (downloaded where it is not here), `bundled` (or None) or `published`.
        device, dtype: chosen by themselves where not given; a device need not be in this machine.
        stop_after: last stage.

    Raises:
        SettingsError: the budget is no size, or too little; it says how much would do.
        CheckpointError: there is no such model.
    """
    from show1.cascade.loading import load_outlines
    from show1.memory.plan import Planner, bytes_of

    size = bytes_of(budget)
    outlines, where, kind = load_outlines(model, device, dtype, here=False)
    return Planner(outlines, None, where, kind, stop_after, fixed_dtype=dtype is not None).within(size)[0]
