"""Adapters in a pipeline: mixed into the weights of its networks, and taken out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.cascade.adapter_files import Adapter, Place, read_adapter
from show1.errors import CheckpointError, SettingsError


class AdapterMix:
    """The adapters of a pipeline: which there are, and which are mixed into its weights, how strongly.

    Weights are changed in place, so that sampling costs what it costs without adapters; what they were is kept, and put back to the bit.
    """

    def __init__(self) -> None:
        self.loaded: dict[str, Adapter] = {}
        self.active: dict[str, float] = {}
        self._before: dict[Place, Tensor] = {}

    def add(self, name: str, adapter: Adapter, components: Mapping[str, Any]) -> None:
        """Take in an adapter that fits the components.

        Raises:
            SettingsError: the name is taken, or weights cannot be changed where they are.
            CheckpointError: it is of other networks.
        """
        if name in self.loaded:
            raise SettingsError(f"there is an adapter '{name}' already: choose another adapter_name, or delete that one first")
        for place, factors in adapter.layers.items():
            layer, weight = ".".join(place), _weight(components, place)
            if weight is None or not factors.fit(weight):
                there = f"'{layer}' is {list(weight.shape)}" if weight is not None else f"there is no layer '{layer}'"
                change = f"{list(factors.up.shape)} x {list(factors.down.shape)}"
                raise CheckpointError(f"the adapter in '{adapter.where}' is of another network: {there}, its change is {change}")
            if weight.device.type == "meta" or not weight.is_floating_point():
                raise SettingsError("adapters cannot be mixed into weights that are offloaded or quantised: load adapters first")
        self.loaded[name] = adapter

    @torch.no_grad()
    def mix(self, strengths: Mapping[str, float], components: Mapping[str, Any]) -> None:
        """Let exactly these adapters act, each times its strength.

        Raises:
            SettingsError: one that is not loaded.
        """
        for name in strengths:
            if name not in self.loaded:
                raise SettingsError(f"there is no adapter '{name}'; loaded: {', '.join(self.loaded) or 'none'}")
        acting = {name: strengths[name] for name in sorted(strengths) if strengths[name] != 0}  # sorted: any order gives the same sum
        changed = dict.fromkeys(place for name in acting for place in self.loaded[name].layers)
        for place in {**self._before, **changed}:
            weight = _weight(components, place)
            assert weight is not None
            before = self._before.setdefault(place, weight.detach().to("cpu", copy=True))
            mixed = before.to(weight.device, torch.float32)
            for name, strength in acting.items():
                factors = self.loaded[name].layers.get(place)
                if factors is not None:
                    mixed = mixed + strength * factors.change().to(mixed.device)
            weight.copy_(mixed)
        self._before = {place: before for place, before in self._before.items() if place in changed}
        self.active = dict(strengths)


def _weight(components: Mapping[str, Any], place: Place) -> nn.Parameter | None:
    """The weight of a layer, where there is one."""
    component, layer = place
    network = components.get(component)
    if not isinstance(network, nn.Module):
        return None
    try:
        return network.get_parameter(f"{layer}.weight")
    except AttributeError:
        return None


class WithAdapters:
    """What a pipeline does with adapters, in diffusers' terms."""

    adapters: AdapterMix
    components: dict[str, Any]

    def load_lora_weights(self, folder: str | Path, adapter_name: str | None = None) -> None:
        """Load an adapter from a folder or hub id, and let it act at weight 1 beside those that act already.

        Args:
            folder: as `show1 customize` writes it.
            adapter_name: what `set_adapters` calls it; the folder's name where not given.

        Raises:
            CheckpointError: none there, damaged, or of another network.
            SettingsError: the name is taken.
        """
        from show1.cascade.folder import find_folder

        found = find_folder(folder)
        name = adapter_name or Path(folder).resolve().name
        self.adapters.add(name, read_adapter(found), self.components)
        self.adapters.mix({**self.adapters.active, name: 1.0}, self.components)

    def set_adapters(self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] | None = None) -> None:
        """Let exactly these adapters act; no names, no adapter.

        Args:
            adapter_names: one or several.
            adapter_weights: how strongly, one for all or one for each; 1 where not given. A network's change is the sum of theirs.

        Raises:
            SettingsError: an adapter that is not loaded, or another number of weights than names.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        given = 1.0 if adapter_weights is None else adapter_weights
        weights = list(given) if isinstance(given, Sequence) else [given] * len(names)
        if len(weights) != len(names):
            raise SettingsError(f"{len(weights)} weights for {len(names)} adapters; give one for all, or one for each")
        self.adapters.mix({name: float(weight) for name, weight in zip(names, weights, strict=True)}, self.components)

    def get_active_adapters(self) -> dict[str, float]:
        """The adapters that act, with their weights."""
        return dict(self.adapters.active)

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Names of the loaded adapters, by the component that they change."""
        found: dict[str, list[str]] = {}
        for name, adapter in self.adapters.loaded.items():
            for component in dict.fromkeys(component for component, _ in adapter.layers):
                found.setdefault(component, []).append(name)
        return found

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Forget adapters; those that acted act no longer.

        Raises:
            SettingsError: one that is not loaded.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        left = {name: weight for name, weight in self.adapters.active.items() if name not in names}
        self.adapters.mix(left | dict.fromkeys(names, 0.0), self.components)
        self.adapters.active = left
        for name in names:
            del self.adapters.loaded[name]

    def unload_lora_weights(self) -> None:
        """Forget all adapters; the weights are to the bit what they were."""
        self.delete_adapters(list(self.adapters.loaded))
