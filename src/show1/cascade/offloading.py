"""Networks that are on a device only while they compute."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.hooks import apply_group_offloading
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import nn

from show1.models.layout import put_channels_last


class Offloadable(DiffusionPipeline):
    """A pipeline whose weights can wait in main memory, and its T5 on disk."""

    text_encoder: nn.Module | None
    load_text_encoder: Callable[[], nn.Module] | None = None
    """Where set, T5 is loaded by it when a prompt is to be encoded, and freed again afterwards."""
    _groups: dict[str, Any] | None = None
    """How T5's layers move, where they do."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move every network; arguments as in diffusers."""
        super().to(*args, **kwargs)
        self._suit(self.device)
        return self

    def _suit(self, device: torch.device | str) -> None:
        """Give networks of convolutions the order in memory that suits a device."""
        if torch.device(device).type != "cuda":
            return
        for network in self.components.values():
            if isinstance(network, ModelMixin):
                put_channels_last(network)

    def enable_group_offload(self, onload_device: torch.device, **options: Any) -> None:
        """Hold weights in main memory, each group of layers on the device only while it computes; arguments as in diffusers.

        A T5 that is loaded on demand is held so too.
        """
        self._suit(onload_device)
        super().enable_group_offload(onload_device, **options)
        self._groups = in_groups(onload_device, options)

    def enable_text_encoder_offload(self, onload_device: torch.device, **options: Any) -> None:
        """Hold T5 alone in main memory, each group of layers on the device only while it computes; arguments as of
        `enable_group_offload`. It goes with `enable_model_cpu_offload`, which then leaves T5 as it is."""
        self._groups = in_groups(onload_device, options)
        if self.text_encoder is not None:
            self._placed(self.text_encoder)

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: torch.device | str | None = None) -> None:
        """Hold weights in main memory, each network on the device only for its turn; arguments as in diffusers."""
        self._suit(device or "cuda")
        encoder = self.text_encoder
        apart = encoder is not None and self._groups is not None  # diffusers takes no network whose layers move by themselves
        if apart:
            self.register_modules(text_encoder=None)
        try:
            super().enable_model_cpu_offload(gpu_id, device)
        finally:
            if apart:
                self.register_modules(text_encoder=encoder)

    @contextmanager
    def text_encoder_at_hand(self) -> Iterator[None]:
        """With T5 in place, where there is one; afterwards the device is free of it again, as far as it is offloaded."""
        load = self.load_text_encoder if self.text_encoder is None else None
        if load is not None:
            self.register_modules(text_encoder=self._placed(load()))
        try:
            yield
        finally:
            if load is not None:
                self.register_modules(text_encoder=None)
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            self.maybe_free_model_hooks()

    def _placed(self, encoder: nn.Module) -> nn.Module:
        """A text encoder where it is to compute."""
        if self._groups is None:
            return encoder.to(self._execution_device)
        apply_group_offloading(encoder, **self._groups)
        return encoder


def in_groups(onload_device: torch.device, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of diffusers' group offloading, with main memory as the place to wait in."""
    return {"onload_device": onload_device, "offload_device": torch.device("cpu"), **options}
