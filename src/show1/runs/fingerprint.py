"""Telling whether a run goes on with the very model it was begun with, without reading gigabytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from show1.models.outline import Outline

EDGE = 4
"""Numbers read at the beginning and at the end of every weight."""


def fingerprints(pipeline: Any) -> dict[str, str]:
    """A short digest of every component but outlines: its class, its configuration, and some numbers of every weight."""
    return {name: fingerprint(part) for name, part in pipeline.components.items() if not isinstance(part, Outline)}


def fingerprint(component: Any) -> str:
    """The digest of one component; of a text encoder that is loaded on demand, nothing but that."""
    digest = hashlib.sha256(type(component).__name__.encode())
    for part in _parts(component):
        digest.update(part)
    return digest.hexdigest()[:16]


def _parts(component: Any) -> Iterator[bytes]:
    if hasattr(component, "get_vocab"):
        yield json.dumps(sorted(component.get_vocab().items())).encode()
        return
    if not hasattr(component, "from_pretrained"):
        return
    config = getattr(component, "config", {})
    if isinstance(config, dict):  # diffusers'; what transformers adds of its own changes with its version
        yield json.dumps({k: v for k, v in config.items() if not k.startswith("_")}, sort_keys=True, default=str).encode()
    if isinstance(component, nn.Module):
        yield from _weights(component)


def _weights(network: nn.Module) -> Iterator[bytes]:
    edges: list[Tensor] = []
    for name, weight in network.state_dict().items():
        yield f"{name}{tuple(weight.shape)}{weight.dtype}".encode()
        if weight.device.type != "meta" and type(weight) in (Tensor, nn.Parameter):  # offloaded or quantised ones are not fetched for this
            edges += [part.double().cpu() for part in _edges(weight.detach())]
    if edges:
        yield torch.cat(edges).numpy().tobytes()


def _edges(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last numbers, whatever their order in memory, which all of them would be copied out of."""
    rows = -(-EDGE // max(weight[0].numel(), 1)) if weight.ndim and len(weight) else 0
    first, last = (weight[:rows], weight[-rows:]) if rows else (weight, weight)
    return first.reshape(-1)[:EDGE], last.reshape(-1)[-EDGE:]
