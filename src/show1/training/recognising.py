"""Training of the recogniser, on rendered clips only."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from show1.errors import SettingsError
from show1.models.loading import load_network
from show1.models.recogniser import READ_FRAMES, READ_SIZE, Recogniser, as_read, in_grey
from show1.training.chance import Chance
from show1.training.clips import USUAL_SIZES, Clips, ClipSource, EmojiClips, emoji_world, frame_times
from show1.training.components import start_folder
from show1.training.config import TrainConfig
from show1.training.task import Task
from show1.training.tasks import KEYFRAME_EVERY
from show1.worlds.attributes import attributes, world_labels

DRAWN_SIZES = (USUAL_SIZES.low, READ_SIZE[::-1])
"""(width, height) that clips are drawn at, one or the other, so that every stage's output can be read."""
MOST_NOISE = 0.1
MOST_TINT = 0.1


class Recognising(Task):
    """What each clip shows, from drawings of several sizes, some noised and tinted, but never from a generated clip."""

    component = "recogniser"

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device, folder: Path) -> None:
        world = emoji_world(source, "the recogniser")
        self.labels = world_labels(world.objects, world.places, world.motions, world.max_count)
        super().__init__(config, source, base, device)

    def make_network(self) -> nn.Module:
        folder = start_folder(self.config, "network", self.base)
        if folder is not None:
            return self._loaded(folder)
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            return Recogniser(self.labels, **self.config.network)

    def _loaded(self, folder: Path) -> Recogniser:
        network = load_network(Recogniser, folder)
        if network.labels != self.labels:
            raise SettingsError(f"the recogniser in '{folder}' knows other values than this world has: {network.labels}, not {self.labels}")
        return network

    def loss(self, chance: Chance) -> Tensor:
        clips = cast(EmojiClips, self.clips(chance))
        logits = self.network(self.degraded(clips, chance))
        shown = [attributes(scene) for scene in clips.scenes]
        losses = []
        for name, values in self.labels.items():
            wanted = torch.tensor([values.index(scene[name]) for scene in shown], device=self.device)
            losses.append(functional.cross_entropy(logits[name].float(), wanted))
        return torch.stack(losses).sum()

    def times(self, chance: Chance) -> Tensor:
        return frame_times(0, READ_FRAMES, KEYFRAME_EVERY)

    def degraded(self, clips: Clips, chance: Chance) -> Tensor:
        """The clips' keyframes, drawn at a size chosen for the batch, some of them grey, tinted and noised to different degrees."""
        video = as_read(clips.draw(DRAWN_SIZES[chance.shared_integer(len(DRAWN_SIZES))]))
        if self.config.grey:
            video = torch.where(chance.uniform(1, 1, 1, 1).to(video) < self.config.grey, in_grey(video), video)
        tint = MOST_TINT * (2 * chance.uniform(3, 1, 1, 1) - 1)
        level = MOST_NOISE * chance.uniform(1, 1, 1, 1).square()
        return video + tint.to(video) + level.to(video) * chance.normal_like(video)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        raise SettingsError("the recogniser draws nothing: leave sample_every at 0")
