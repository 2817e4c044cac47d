"""Where things are, told by the vector that conditions every layer of a keyframe network.

Where an object is depends on the motion and on the moment together: neither alone says anything about it, and a network that is
only shown pictures finds the two together late or never. So a second loss lets fixed directions of the conditioning vector tell a
coarse map of the objects, which follows from the caption and the moment alone; the layers then need only learn to draw by the map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

CELLS = (3, 5)
"""Rows and columns of the map."""
TOLD = CELLS[0] * CELLS[1] + 1
"""Numbers that are told: the cells, and the size."""
STRENGTH = 2.0
"""What the vector's directions tell for the fullest cell."""
SIDE, USUAL_SIDE = 6.0, 0.25
"""What is told of the size is SIDE times how much longer than usual the side is of a square that covers as much, in pictures."""


def conditioning(network: nn.Module, timesteps: Tensor, text: Tensor, labels: Tensor) -> Tensor:
    """The vector [B, F, C] that a keyframe network's layers are conditioned on: a video's, or an image network's, of one frame each.

    timesteps [B], text [B, L, D], labels [B, F].
    """
    network = getattr(network, "module", network)
    if hasattr(network, "embed_time"):
        return network.embed_time(timesteps, text, labels)
    parts: Any = network  # diffusers' UNet2DConditionModel
    time = parts.time_embedding(parts.time_proj(timesteps).to(text.dtype))[:, None]
    moments = parts.class_embedding(parts.time_proj(labels.flatten()).to(text.dtype)).unflatten(0, labels.shape)
    told = 0 if parts.add_embedding is None else parts.add_embedding(text)[:, None]
    whole = time + moments + told
    return whole if parts.time_embed_act is None else parts.time_embed_act(whole)


def directions(width: int) -> Tensor:
    """The directions [TOLD, C] that tell the map: at right angles, by chance, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(width, TOLD, generator=generator))[0].T


def layout(mask: Tensor) -> Tensor:
    """The map [B, F, TOLD] of where a mask [B, 1, F, H, W] is, its fullest cell 1, and its size."""
    cells = adaptive_avg_pool2d(mask.squeeze(1), CELLS).flatten(2)
    side = mask.mean((1, 3, 4)).sqrt().unsqueeze(-1)
    return torch.cat([cells / cells.amax(-1, keepdim=True).clamp(min=1e-6), SIDE * (side - USUAL_SIDE)], dim=-1)


def layout_errors(vector: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error [B] of the maps that conditioning vectors [B, F, C] tell of masks [B, 1, F, H, W]."""
    told = vector @ directions(vector.shape[-1]).to(vector).T
    return (told - STRENGTH * layout(mask).to(told)).square().flatten(1).mean(1)
