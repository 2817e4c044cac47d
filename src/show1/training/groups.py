"""Parameter groups by name: which part of a network a parameter belongs to, and the learning rate each group has.

Groups lie inside one another: temporal attention is temporal. Where a parameter's groups have several rates, that of the innermost counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from show1.errors import SettingsError
from show1.models.inflate import is_temporal

GROUPS = {
    "text": "the text encoder",
    "words": "of it, the embeddings of its words",
    "spatial": "all layers of a network that see one frame at a time",
    "spatial-attention": "of those, the attention to text and pixels",
    "moments": "of those, the layers that tell the others each frame's moment, in networks that are told it",
    "temporal": "all layers that see several frames",
    "temporal-convolution": "of those, the convolutions over time",
    "temporal-attention": "of those, the attention inside the temporal transformers",
}
"""Every group, and what is in it."""
ATTENTION = ("attn1", "attn2")
"""Names of the attention inside a transformer, apart from its norms, projections and feed-forward layers."""
WORDS = ("shared", "embed_tokens", "token_embedding")
"""Names of T5's and CLIP's word embeddings."""


def groups_of(component: str, parameter: str) -> tuple[str, ...]:
    """The groups that a component's parameter belongs to, outermost first; the component's name tells a text encoder from a network."""
    parts = parameter.split(".")
    if component.endswith("text_encoder"):
        return ("text", "words") if any(part in WORDS for part in parts) else ("text",)
    if is_temporal(parameter):
        if "temp_convs" in parts:
            return "temporal", "temporal-convolution"
        return ("temporal", "temporal-attention") if any(part in ATTENTION for part in parts) else ("temporal",)
    if parts[0] == "class_embedding":
        return "spatial", "moments"
    return ("spatial", "spatial-attention") if "attentions" in parts else ("spatial",)


def in_group(group: str, component: str, parameter: str) -> bool:
    """Whether a component's parameter belongs to a group, or to the module of that name (`up_blocks.2`)."""
    return group in groups_of(component, parameter) or parameter.startswith(f"{group}.")


def check_rates(rates: Mapping[str, float]) -> None:
    """Raise SettingsError for a group that does not exist or a rate that cannot be one."""
    for group, rate in rates.items():
        if group not in GROUPS:
            raise SettingsError(f"[rates]: unknown group '{group}'; known: {', '.join(GROUPS)}")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not (math.isfinite(rate) and rate >= 0):
            raise SettingsError(f"[rates]: {group} is {rate!r}; it must be a learning rate, or 0 to leave the group as it is")


def rate_of(rates: Mapping[str, float], otherwise: float, component: str, parameter: str) -> float:
    """Peak learning rate of a component's parameter: that of its innermost group that has one, else `otherwise`."""
    named = [rates[group] for group in groups_of(component, parameter) if group in rates]
    return float(named[-1]) if named else otherwise


def trained_groups(modules: Mapping[str, nn.Module], rates: Mapping[str, float], otherwise: float) -> list[dict[str, Any]]:
    """An optimizer's parameter groups, one a learning rate; parameters at rate 0 are frozen and in none of them, as those are that were frozen before.

    Raises:
        SettingsError: nothing is left to train.
    """
    by_rate: dict[float, list[nn.Parameter]] = {}
    for component, module in modules.items():
        for name, parameter in module.named_parameters():
            rate = rate_of(rates, otherwise, component, name) if parameter.requires_grad else 0.0
            parameter.requires_grad_(rate > 0)
            if rate > 0:
                by_rate.setdefault(rate, []).append(parameter)
    if not by_rate:
        raise SettingsError("every parameter's learning rate is 0: leave a group of [rates] to train")
    return [{"params": parameters, "lr": rate} for rate, parameters in by_rate.items()]
