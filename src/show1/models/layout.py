"""The order in memory that a GPU's convolutions compute in."""

from __future__ import annotations

from torch import nn

from show1.models.norms import LAST, replace_group_norms


def put_channels_last(network: nn.Module) -> None:
    """Have a network of convolutions keep channels last in memory throughout, where its weights say so: norms too."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=LAST[layer.weight.ndim])
    replace_group_norms(network)
