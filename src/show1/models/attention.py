"""Which of torch's attention kernels to use."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def suited_attention(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Plain matrix products in bfloat16 on a CPU, whose fused kernel is slow there for the many short sequences of these networks; else torch's choice."""
    if device.type == "cpu" and dtype == torch.bfloat16:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()
