"""The order in memory that a GPU's convolutions compute in."""

from __future__ import annotations

import torch
from torch import nn

from show1.models.norms import replace_group_norms


def put_channels_last(network: nn.Module) -> None:
    """Have a network of convolutions keep channels last in memory throughout, where its weights say so: norms too."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            order = torch.channels_last if isinstance(layer, nn.Conv2d) else torch.channels_last_3d
            layer.weight.data = layer.weight.data.contiguous(memory_format=order)
    replace_group_norms(network)
