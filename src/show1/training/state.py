"""All that a run goes on from, as whole tensors by name: the same however many processes hold them, sharded or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from show1.errors import CheckpointError
from show1.models.loading import check_weights

Tensors = dict[str, Tensor]


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is spread over processes."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, gathered where it is sharded (all processes must ask for it)."""
    full = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[operator]
    return full.detach().cpu().contiguous()


def spread(value: Tensor, like: Any) -> Tensor:
    """A whole tensor, on the device of `like` and sharded as it is."""
    value = value.to(like.device, copy=True)  # copied: a file's tensors lie unaligned, which changes the last bits of what kernels compute
    if not is_sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, like.device_mesh, like.placements)


class RunState:
    """The weights of a run, their running average, and what the optimizer remembers.

    Args:
        modules: the trained modules by component, as they are without the wrappers of several processes.
        optimizer: a torch optimizer of their parameters.
        ema: the running average of all their parameters, in their order.
    """

    def __init__(self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, ema: EMAModel) -> None:
        self.parameters = {f"{c}.{name}": p for c, module in modules.items() for name, p in module.named_parameters()}
        self.buffers = {f"{c}.{name}": b for c, module in modules.items() for name, b in module.named_buffers()}
        self.optimizer = optimizer
        self.ema = ema

    @property
    def averages(self) -> Tensors:
        """The running averages by name."""
        return dict(zip(self.parameters, self.ema.shadow_params, strict=True))

    def tensors(self) -> dict[str, Tensors]:
        """All tensors, by what they are."""
        remembered = {f"{name}/{key}": value for name, key, value in self._remembered() if isinstance(value, Tensor)}
        groups = {"weights": {**self.parameters, **self.buffers}, "averages": self.averages, "optimizer": remembered}
        return {kind: {name: whole(tensor) for name, tensor in tensors.items()} for kind, tensors in groups.items()}

    def numbers(self) -> dict[str, Any]:
        """All that is no tensor."""
        counts = {f"{name}/{key}": value for name, key, value in self._remembered() if not isinstance(value, Tensor)}
        return {"averaged_steps": self.ema.optimization_step, "optimizer": counts}

    def _remembered(self) -> Iterator[tuple[str, str, Any]]:
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield name, key, value

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensors], numbers: Mapping[str, Any], where: Path) -> None:
        """Go back to what `tensors` and `numbers` gave.

        Raises:
            CheckpointError: they are not of these modules, with names.
        """
        weights = {**self.parameters, **self.buffers}
        check_weights(tensors["weights"], weights, where)
        check_weights(tensors["averages"], self.averages, where)
        for name, value in tensors["weights"].items():
            weights[name].copy_(spread(value, weights[name]))
        for name, value in tensors["averages"].items():
            self.averages[name].copy_(spread(value, self.averages[name]))
        self.ema.optimization_step = int(numbers["averaged_steps"])
        self.optimizer.state.clear()
        for place, remembered in {**tensors["optimizer"], **numbers["optimizer"]}.items():
            name, key = place.rsplit("/", 1)
            self._remember(name, key, remembered, where)

    def _remember(self, name: str, key: str, value: Any, where: Path) -> None:
        parameter = self.parameters.get(name)
        if parameter is None:
            raise CheckpointError(f"the optimizer in '{where}' is of another network: it knows '{name}'")
        if isinstance(value, Tensor):
            value = self._placed(value, parameter)
        self.optimizer.state[parameter][key] = value

    @staticmethod
    def _placed(value: Tensor, parameter: Tensor) -> Tensor:
        if value.ndim == 0:
            return value.clone()  # step counts stay on the CPU
        return spread(value, parameter) if value.shape == parameter.shape else value.to(parameter.device, copy=True)

    @contextmanager
    @torch.no_grad()
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place, for a while."""
        before = [parameter.detach().clone() for parameter in self.parameters.values()]
        self.place_averages()
        try:
            yield
        finally:
            for parameter, value in zip(self.parameters.values(), before, strict=True):
                parameter.copy_(value)

    @torch.no_grad()
    def place_averages(self) -> None:
        """The averaged weights in place, for good."""
        for parameter, average in zip(self.parameters.values(), self.ema.shadow_params, strict=True):
            parameter.copy_(average)
