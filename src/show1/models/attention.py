"""Attention over the frames at each pixel, thousands of sequences of a few frames, and over the text."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnAddedKVProcessor2_0
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

FEW = 512
"""Queries and keys up to which a CPU's plain attention learns faster than its fused one, whose backward pass is slow for few keys."""
FRAMES = 16
"""Frames up to which a GPU attends pair by pair: its fused kernels spend as much on 5 as on 128 (half of interpolation's time on an H200)."""


class FrameAttention:
    """Self-attention for diffusers' `Attention`, without torch's fused kernel where that is slow: few frames on a GPU, bfloat16 on a CPU."""

    def __call__(self, attention: Attention, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """[B, F, C] -> [B, F, C]; sequences are never masked, and there is nothing but themselves to attend to."""
        projections: Any = (attention.to_q, attention.to_k, attention.to_v)
        query, key, value = (project(hidden_states).unflatten(-1, (attention.heads, -1)).transpose(1, 2) for project in projections)
        attend: Any = functional.scaled_dot_product_attention
        if query.device.type != "cpu":
            attend = attend_in_pairs if query.shape[2] <= FRAMES and not torch.is_grad_enabled() else attend
        elif query.dtype == torch.bfloat16:
            attend = attend_plainly
        out: Any = attention.to_out
        return out[1](out[0](attend(query, key, value).transpose(1, 2).flatten(2)))


def attend_plainly(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(QK' / sqrt(d)) V (Vaswani et al. 2017, eq. 1) of [B, heads, L, d]; over few keys, softmax is faster across rows than along them."""
    scores = key @ (query * query.shape[-1] ** -0.5).transpose(-1, -2)
    return scores.softmax(-2).transpose(-1, -2) @ value


def attend_in_pairs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same number by number, [B, heads, L, d] for each pair of L: what torch.compile makes one kernel of."""
    query = query * query.shape[-1] ** -0.5
    scores = (query[:, :, :, None] * key[:, :, None]).sum(-1, dtype=torch.float32)
    return (scores.softmax(-1).to(value.dtype)[..., None] * value[:, :, None]).sum(-2)


class TextAttention(AttnAddedKVProcessor2_0):
    """diffusers' attention with added text keys and values, by plain matrix products where short sequences learn on a CPU."""

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        short = hidden_states.shape[2:].numel() <= FEW and torch.is_grad_enabled()
        with sdpa_kernel(SDPBackend.MATH) if short and hidden_states.device.type == "cpu" else nullcontext():
            return super().__call__(attn, hidden_states, *args, **kwargs)  # type: ignore[no-any-return]
