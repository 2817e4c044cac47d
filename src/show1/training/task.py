"""What every stage's training has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.training.adapting import Adaptation
from show1.training.chance import Chance
from show1.training.clips import FPS, Clips, ClipSource, Wanted, frame_times
from show1.training.components import make_network
from show1.training.config import TrainConfig


class Task:
    """One stage's training: its networks, and its loss on a batch of clips."""

    component: str
    """Name the network is saved under, as in the pipeline's folder."""
    fps: float = FPS
    """Frames a second of what it makes."""

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device) -> None:
        """`base`: what `start` folders in the config are relative to."""
        self.config = config
        self.source = source
        self.base = base
        self.device = device
        self.wanted = Wanted()
        self.modules: dict[str, nn.Module] = {self.component: self.make_network()}

    def make_network(self) -> nn.Module:
        """The network that is trained, new or loaded; with an adapter's layers in it where an adapter is trained."""
        network = make_network(self.config, self.base)
        if self.config.adapter is not None:
            self.adaptation = Adaptation(self.component, network, self.config.adapter, self.config.seed)
        return network

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.modules[self.component]

    def times(self, chance: Chance) -> Tensor:
        """Seconds of the frames that clips are trained on, [F] or [B, F]: the first thing drawn from a batch's chance."""
        raise NotImplementedError

    def clips(self, chance: Chance) -> Clips:
        """The clips of `chance.seeds`, at the times that training sees them; the first thing to ask for, as `look_ahead` does."""
        return self.source.clips(chance.seeds, self.times(chance), self.wanted, like=chance.batch_seed)

    def look_ahead(self, chance: Chance) -> None:
        """Begin to read the clips of a batch to come."""
        self.source.look_ahead(chance.seeds, self.times(chance), self.wanted, like=chance.batch_seed)

    def loss(self, chance: Chance) -> Tensor:
        """Mean loss of the clips of `chance.seeds`; all else that is random comes from `chance` too."""
        raise NotImplementedError

    def timestep_bands(self, count: int) -> list[tuple[int, int]]:
        """Equal parts (first timestep, one after the last) of the range trained on; none for a network that does not denoise."""
        return []

    def losses(self, chance: Chance, timesteps: Tensor, *, dropout: float) -> Tensor:
        """Loss [B] of each clip at a timestep [B] of its own; for networks that denoise."""
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

    def save(self, folder: Path) -> None:
        """Write what was trained, in 16 bits: a folder a component, or an adapter."""
        if self.config.adapter is not None:
            self.adaptation.save(folder, self.saved(self.component, self.network))
            return
        for name, module in self.modules.items():
            self.saved(name, module).half().save_pretrained(folder / name)
        self.export(folder)

    def finish(self) -> None:
        """Called once with the averaged weights in place, before they are written."""

    def export(self, folder: Path) -> None:
        """Write what is needed beside the trained modules' weights (tokenizers, schedulers)."""
