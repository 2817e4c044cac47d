"""The end of a run: the averaged weights in 16 bits, with all that says where they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from torch import nn

from show1.training.config import TrainConfig
from show1.training.journal import last_losses
from show1.training.state import is_sharded
from show1.training.task import Task
from show1.training.validation import last_validation


def gather_modules(module: nn.Module) -> None:
    """Make a module that FSDP2 spread over processes whole again on each, and of its own class; all processes must ask for it."""
    for part in module.modules():
        if type(part).__name__.startswith("FSDP"):
            part.__class__ = type(part).__bases__[1]
            part._forward_pre_hooks.clear()
            part._forward_hooks.clear()
        for name, parameter in list(part._parameters.items()):
            if parameter is not None and is_sharded(parameter):
                whole: Any = parameter
                part._parameters[name] = nn.Parameter(whole.full_tensor().detach(), requires_grad=parameter.requires_grad)


def run_record(config: TrainConfig, folder: Path, step: int) -> dict[str, Any]:
    """What a run was and came to: `training.json`."""
    metrics = {"loss": last_losses(folder), "validation": last_validation(folder)}
    return {"config": config.to_dict(), "steps_done": step, "clips_seen": step * config.batch_size, "metrics": metrics}


def write_final(task: Task, config: TrainConfig, folder: Path, step: int) -> Path:
    """Write a run's `final` folder, whole or not at all: one folder a component, and `training.json`.

    `task.modules` hold the averaged weights, on one process, and are turned into 16 bits.
    """
    partial, final, before = folder / ".partial-final", folder / "final", folder / ".old-final"
    for left in (partial, before):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    task.finish()
    task.save(partial)
    (partial / "training.json").write_text(json.dumps(run_record(config, folder, step), indent=1))
    if final.exists():
        final.rename(before)
    partial.rename(final)
    shutil.rmtree(before, ignore_errors=True)
    return final
