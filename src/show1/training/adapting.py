"""Training an adapter: which layers of a network change, with peft (LoRA) or in full, and what is saved of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.cascade.adapter_files import Factors, write_adapter
from show1.errors import SettingsError
from show1.training.config import AdapterConfig
from show1.training.groups import GROUPS, in_group

NAME = "default"
"""Peft's name of the adapter that is trained."""
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


class Adaptation:
    """A network whose layers are prepared so that an adapter's are trained and no others.

    It computes what it did before, until it is trained: LoRA's second factor starts at zero (Hu et al. 2021, section 4.1).

    Args:
        component: the network's name in a pipeline.
        network: changed in place.
        config: the adapter's.
        seed: of the first factors.

    Raises:
        SettingsError: no such layers, or peft is not installed.
    """

    def __init__(self, component: str, network: nn.Module, config: AdapterConfig, seed: int) -> None:
        self.component = component
        self.config = config
        self.layers = chosen_layers(component, network, config.layers, full=config.rank == 0)
        for group in config.layers:
            if not chosen_layers(component, network, (group,), full=config.rank == 0):
                raise SettingsError(
                    f"[adapter] layers names '{group}', where the network has no layers that an adapter could change; "
                    f"name a group ({', '.join(GROUPS)}) or a module, such as conv_out"
                )
        network.requires_grad_(False)
        if config.rank:
            inject_lora(network, self.layers, config.rank, seed)
            return
        weights = {layer: network.get_parameter(f"{layer}.weight").requires_grad_() for layer in self.layers}
        self.before = {layer: weight.detach().clone() for layer, weight in weights.items()}

    def save(self, folder: Path, network: nn.Module) -> None:
        """Write the adapter of the trained network to a folder."""
        layers = {(self.component, layer): self._factors(network, layer) for layer in self.layers}
        component = {"layers": list(self.config.layers), "rank": self.config.rank or "full"}
        write_adapter(folder, layers, {**self.config.about, "components": {self.component: component}})

    def _factors(self, network: nn.Module, layer: str) -> Factors:
        if self.config.rank:
            module: Any = network.get_submodule(layer)
            return Factors(module.lora_A[NAME].weight, module.lora_B[NAME].weight)
        change = network.get_parameter(f"{layer}.weight").detach().cpu() - self.before[layer].cpu()
        return Factors(change, identity(change))


def identity(change: Tensor) -> Tensor:
    """The factor that makes a change of itself: [out, out, 1, ...]."""
    return torch.eye(change.shape[0]).reshape(change.shape[0], change.shape[0], *[1] * (change.ndim - 2))


def chosen_layers(component: str, network: nn.Module, groups: tuple[str, ...], *, full: bool) -> list[str]:
    """Names of the linear layers and convolutions in some groups or modules.

    Temporal convolutions are run from their weights alone (see `TemporalConv`), which LoRA's layers beside them would not reach:
    they change in full only.
    """
    found = []
    for name, module in network.named_modules():
        temporal = isinstance(module, nn.Conv3d) or in_group("temporal-convolution", component, f"{name}.weight")
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)) and (full or not temporal):
            found += [name] if any(in_group(group, component, f"{name}.weight") for group in groups) else []
    return found


def inject_lora(network: nn.Module, layers: list[str], rank: int, seed: int) -> None:
    """Put peft's LoRA layers into a network; its global random state stays as it is.

    Raises:
        SettingsError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise SettingsError(
            f"adapters of a low rank are trained with peft, which cannot be used here ({error}): pip install 'show1[train]', or train in full"
        ) from error
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), network, NAME)
