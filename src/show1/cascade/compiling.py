"""Denoising networks compiled by torch for the machine they run on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from show1.errors import SettingsError


def compiled(name: str, forward: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A network's forward pass by `torch.compile`, once for every shape that it meets; errors as of `Show1Pipeline.compile_networks`."""
    quick = torch.compile(forward, dynamic=False, **options)

    @wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return quick(*args, **kwargs)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            why = " ".join(str(cause).split("\n\n")[0].split()) or type(cause).__name__
            raise SettingsError(
                f"{name} could not be compiled here: {why}; torch.compile needs Triton on a GPU and a C++ compiler on a CPU; "
                "without compiling the networks run as they are"
            ) from error

    return call
