"""Networks without weights, for the parts of a pipeline that another process runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from show1.models.loading import make_empty


class Outline:
    """Stands in a pipeline for a network that is not run here: its configuration and its weights' shapes, and no weights.

    It is no `nn.Module`, so that it neither is moved to a device nor says where the pipeline runs.

    Args:
        network: on the meta device; None for a text encoder, of which nothing need be known.
        dtype: what the weights would be held in.
    """

    def __init__(self, network: nn.Module | None, dtype: torch.dtype) -> None:
        self.network, self.dtype = network, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__.get("network"), name)


def read_outline(cls: Any, folder: Path, dtype: torch.dtype) -> Outline:
    """The outline of a network in its folder.

    Raises:
        CheckpointError: there is no config, or no network can be made of it.
    """
    return Outline(make_empty(cls, folder), dtype)
