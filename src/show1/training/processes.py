"""How a run is spread over processes, each with its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

from show1.errors import DataError, SettingsError
from show1.training.config import TrainConfig
from show1.training.journal import check_trackers


def make_accelerator(config: TrainConfig, folder: Path) -> Accelerator:
    """What accelerate's launcher or a plain start decided on, with the configuration's precision and trackers.

    Raises:
        SettingsError: a tracker that is not installed.
        DataError: the folder cannot be made.
    """
    check_trackers(config.log_with)
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the run's folder '{folder}': {error.strerror or error}") from error
    if AcceleratorState._shared_state.get("_mixed_precision", config.precision) != config.precision:
        AcceleratorState._reset_state()  # an earlier run in this process; what is known of other processes stays
    try:
        accelerator = Accelerator(
            mixed_precision=config.precision,
            gradient_accumulation_steps=config.accumulate,
            log_with=list(config.log_with) or None,
            project_dir=str(folder / "logs"),
        )
    except ValueError as error:
        raise SettingsError(f'precision = "{config.precision}" cannot be used here: {error}; use bf16 or no') from error
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != started:  # each would train on its own, into the same folder
        raise SettingsError(
            f"{started} processes were started, but accelerate takes this one for one of {accelerator.num_processes}: "
            "on a machine without GPUs set ACCELERATE_USE_CPU=true and start them with torchrun"
        )
    return accelerator


def is_fsdp(accelerator: Accelerator) -> bool:
    """Whether weights are sharded over processes."""
    return accelerator.distributed_type == DistributedType.FSDP


def prepare_sharding(accelerator: Accelerator, config: TrainConfig, modules: Mapping[str, nn.Module]) -> None:
    """Have FSDP2, where accelerate is told to use it, gather a network block by block.

    Raises:
        SettingsError: the run cannot be sharded.
    """
    if not is_fsdp(accelerator):
        return
    if not accelerator.is_fsdp2:
        raise SettingsError("this trainer shards with FSDP2: pass --fsdp_version 2 to accelerate launch")
    if len(modules) > 1 or config.stage in ("vae", "recogniser"):
        raise SettingsError("FSDP2 shards one denoising network: set train_text = false, or start without FSDP")
    (network,) = modules.values()
    blocks = [*network.down_blocks, network.mid_block, *network.up_blocks]  # type: ignore[union-attr, misc]
    plugin: Any = accelerator.state.fsdp_plugin
    plugin.auto_wrap_policy = transformer_auto_wrap_policy
    plugin.transformer_cls_names_to_wrap = sorted({type(block).__name__ for block in blocks})


def plain_modules(accelerator: Accelerator, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Modules without the wrappers of several processes."""
    return {name: accelerator.unwrap_model(module) for name, module in modules.items()}


def reshard(module: nn.Module) -> None:
    """Let go of weights that FSDP2 gathered for a forward pass without a way back: they are not those that are trained."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def batch_part(config: TrainConfig, accelerator: Accelerator) -> int:
    """Clips that go through the network at once.

    Raises:
        SettingsError: the batch cannot be split evenly.
    """
    parts = accelerator.num_processes * config.accumulate
    if config.batch_size % parts:
        raise SettingsError(
            f"a batch of {config.batch_size} clips does not split evenly over {accelerator.num_processes} processes in {config.accumulate} parts "
            f"each: make batch_size a multiple of {parts}"
        )
    return config.batch_size // parts


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global random state, which dropout draws from, seeded for a while."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def versions() -> dict[str, Any]:
    """Versions of what decides a result's last bits."""
    return {name: version(name) for name in ("torch", "diffusers", "transformers", "accelerate")}
