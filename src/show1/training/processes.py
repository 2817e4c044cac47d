"""How a run is spread over processes, each with its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

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
    return Accelerator(
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.accumulate,
        log_with=list(config.log_with),
        project_dir=str(folder / "logs"),
    )


def is_fsdp(accelerator: Accelerator) -> bool:
    """Whether weights are sharded over processes."""
    return accelerator.distributed_type == DistributedType.FSDP


def check_fsdp(accelerator: Accelerator, config: TrainConfig, modules: Mapping[str, nn.Module]) -> None:
    """Raise SettingsError where a run cannot be sharded."""
    if not is_fsdp(accelerator):
        return
    if not accelerator.is_fsdp2:
        raise SettingsError("this trainer shards with FSDP2: pass --fsdp_version 2 to accelerate launch")
    if len(modules) > 1 or config.stage in ("vae", "recogniser"):
        raise SettingsError("FSDP2 shards one denoising network: set train_text = false, or start without FSDP")


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
