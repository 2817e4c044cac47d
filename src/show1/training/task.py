"""What every stage's training has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.training.clips import Clips, ClipSource, Wanted, frame_times
from show1.training.components import make_network
from show1.training.config import TrainConfig


def batch_generator(seeds: list[int]) -> torch.Generator:
    """What all that is random in a batch beside its clips comes from."""
    return torch.Generator().manual_seed(seeds[0])


class Task:
    """One stage's training: its networks, and its loss on a batch of clips."""

    component: str
    """Name the network is saved under, as in the pipeline's folder."""

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device) -> None:
        """`base`: what `start` folders in the config are relative to."""
        self.config = config
        self.source = source
        self.base = base
        self.device = device
        self.wanted = Wanted()
        self.modules: dict[str, nn.Module] = {self.component: self.make_network()}

    def make_network(self) -> nn.Module:
        """The network that is trained, new or loaded."""
        return make_network(self.config, self.base)

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.modules[self.component]

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """Seconds of the frames that `count` clips are trained on, [F] or [B, F]: the first thing drawn from a batch's generator."""
        raise NotImplementedError

    def clips(self, seeds: list[int], generator: torch.Generator) -> Clips:
        """The clips of `seeds`, at the times that training sees them."""
        return self.source.clips(seeds, self.times(len(seeds), generator), self.wanted)

    def look_ahead(self, seeds: list[int]) -> None:
        """Begin to read the clips of a batch to come."""
        self.source.look_ahead(seeds, self.times(len(seeds), batch_generator(seeds)), self.wanted)

    def loss(self, seeds: list[int], generator: torch.Generator) -> Tensor:
        """Loss of the clips of `seeds`; all else that is random comes from `generator`."""
        raise NotImplementedError

    def sheet_times(self) -> Tensor:
        """Seconds of the frames that a sample sheet shows, [F]."""
        return frame_times(0, self.config.frames)

    def sheet_clips(self, count: int) -> Clips:
        """The same clips at every step of a run."""
        return self.source.clips(list(range(count)), self.sheet_times(), Wanted(arrays=self.wanted.arrays))

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        """The clips as drawn and as the stage makes them from what is drawn, both [B, 3, F, H, W]."""
        raise NotImplementedError

    def saved(self, name: str, module: Any) -> Any:
        """What of a trained module is written to its folder."""
        return module

    def finish(self) -> None:
        """Called once with the averaged weights in place, before they are written."""

    def export(self, folder: Path) -> None:
        """Write what is needed beside the trained modules' weights (tokenizers, schedulers)."""
