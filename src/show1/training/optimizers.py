"""The optimizers that a configuration can name."""

from __future__ import annotations

from typing import Any

import torch

from show1.errors import SettingsError

EIGHT_BIT = {"adamw-8bit": "AdamW8bit", "lion-8bit": "Lion8bit"}
"""Names in bitsandbytes of the optimizers that keep their state in 8 bits."""
OPTIMIZERS = ("adamw", *EIGHT_BIT)


def make_optimizer(name: str, groups: list[dict[str, Any]], weight_decay: float) -> torch.optim.Optimizer:
    """An optimizer of parameter groups that have their learning rates.

    Raises:
        SettingsError: one in 8 bits without bitsandbytes.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    try:
        import bitsandbytes
    except (ImportError, RuntimeError) as error:
        raise SettingsError(
            f'optimizer = "{name}" needs bitsandbytes, which cannot be used here ({error}): pip install \'show1[8bit]\', or use "adamw"'
        ) from error
    return getattr(bitsandbytes.optim, EIGHT_BIT[name])(groups, weight_decay=weight_decay)
