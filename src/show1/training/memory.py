"""Gradient checkpointing for every network that is trained: activations of each block are computed again on the way back."""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from show1.errors import SettingsError
from show1.models.unet import PixelUNet

BLOCKS = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel)
"""What diffusers' networks are made of, beside the attention of IF; their own flag leaves some blocks out."""


def checkpoint_gradients(name: str, module: nn.Module) -> None:
    """Make a trained module keep no activations inside its blocks.

    Raises:
        SettingsError: it has no blocks that this works on.
    """
    if isinstance(module, PixelUNet):
        module.enable_gradient_checkpointing()
    elif hasattr(module, "gradient_checkpointing_enable"):
        module.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        blocks = blocks_of(module)
        if not blocks:
            raise SettingsError(f"gradient_checkpointing has no blocks to work on in '{name}'; leave it off")
        for block in blocks:
            _recompute(block)


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The blocks of a network of diffusers, none inside another."""
    blocks = [m for m in module.modules() if isinstance(m, BLOCKS)]
    inside = {id(part) for block in blocks for part in block.modules() if part is not block}
    lists = [m for name, m in module.named_modules() if name.endswith("attentions") and isinstance(m, nn.ModuleList)]
    attentions = [m for entries in lists for m in entries if m is not None and not isinstance(m, BLOCKS)]
    return [block for block in [*blocks, *attentions] if id(block) not in inside]


def _recompute(block: nn.Module) -> None:
    forward = block.forward

    @wraps(forward)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if block.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        return forward(*args, **kwargs)

    block.forward = recomputed  # type: ignore[method-assign]
