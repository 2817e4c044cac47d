"""Networks without weights, for the parts of a pipeline that another process runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from show1.models.loading import make_empty, make_empty_transformer


class Outline:
    """Stands in a pipeline for a network that is not run here: its configuration and its weights' shapes, and no weights.

    It is no `nn.Module`, so that it neither is moved to a device nor says where the pipeline runs.

    Args:
        network: on the meta device.
        dtype: what the weights would be held in.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        self.network, self.dtype = network, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__.get("network"), name)


def read_outline(cls: Any, folder: Path, dtype: torch.dtype) -> Outline:
    """The outline of a network in its folder.

    Raises:
        CheckpointError: there is no config, or no network can be made of it.
    """
    make = make_empty if hasattr(cls, "from_config") else make_empty_transformer
    return Outline(make(cls, folder), dtype)
