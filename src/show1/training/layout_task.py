"""Training of the conditioning vector alone: it learns, in minutes and ahead of the layers that read it, to tell where objects are."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.clips import Clips
from show1.training.layout import conditioning, directions, layout_errors
from show1.training.tasks import KeyframesImage

CONDITIONING = ("time_embedding", "class_embedding", "add_embedding")
"""The layers that make the vector."""
KEPT = 0.1
"""What a change of the vector costs that tells nothing of the map: the network's layers know it as it was."""


class Conditioner(nn.Module):
    """A keyframe network of which only the conditioning vector is computed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(CONDITIONING))

    @property
    def config(self) -> Any:
        """The network's."""
        return self.network.config

    def forward(self, timesteps: Tensor, text: Tensor, labels: Tensor) -> Tensor:
        """The vector [B, F, C], see `conditioning`."""
        return conditioning(self.network, timesteps, text, labels)


class Layout(KeyframesImage):
    """The layers that make an image network's conditioning vector learn the map of single frames; nothing is denoised."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.before = copy.deepcopy(self.network).requires_grad_(False).eval().to(self.device)

    def needs_moments(self) -> bool:
        return True

    def make_network(self) -> nn.Module:
        return Conditioner(super().make_network())

    def timestep_bands(self, count: int) -> list[tuple[int, int]]:
        return []

    def saved(self, name: str, module: Any) -> Any:
        return module.network

    def loss(self, chance: Chance) -> Tensor:
        clips = self.clips(chance)
        timesteps = chance.part(self.objective.draw_timesteps(chance.batch, chance.shared)).to(self.device)
        text = self.embed(clips, chance, self.config.caption_dropout)
        labels, mask = self.moments(clips), clips.objects_in(clips.draw(clips.sizes.low))
        vector = self.network(timesteps, text, labels)
        with torch.no_grad():
            before = self.before(timesteps, text, labels)
        return (layout_errors(vector, mask) + KEPT * beside_the_map(vector - before)).mean()

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        raise SettingsError("this stage draws nothing: leave sample_every at 0")


def beside_the_map(change: Tensor) -> Tensor:
    """Mean square [B] of what a change of vectors [B, F, C] has beside the directions that tell the map."""
    rows = directions(change.shape[-1]).to(change)
    return (change - (change @ rows.T) @ rows).square().flatten(1).mean(1)
