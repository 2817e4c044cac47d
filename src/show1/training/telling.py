"""Training of T5 itself: every embedding tells what the caption asks for, as plainly as it tells what training on pictures needed.

An encoder that is trained with an image network learns to tell objects and places apart, and hardly to tell motions apart, which no
picture shows: "to the left" and "to the right" then lie a hundred times nearer to each other than "car" and "turtle", and a
video network that starts from it learns motion slowly or not at all.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.clips import Clips, ClipSource, EmojiClips, emoji_world, frame_times
from show1.training.components import start_folder
from show1.training.config import TrainConfig
from show1.training.task import Task
from show1.training.texts import T5Text
from show1.worlds.attributes import attributes
from show1.worlds.chance import hash_words

TOLD = ("motion", "count", "size")
"""Attributes that pictures, or their losses, teach least."""
STRENGTH = 0.6
"""Length of a told value's mark, in lengths of an average embedding."""


def mark(attribute: str, value: str, width: int) -> Tensor:
    """The direction [width], of length 1, that stands for a value: chance, but the same in every run."""
    generator = torch.Generator().manual_seed(hash_words("mark", attribute, value) % 2**63)
    direction = torch.randn(width, generator=generator)
    return direction / direction.norm()


class Telling(Task):
    """The text encoder learns to be as it was, with the marks of what the caption asks for added to every token's embedding."""

    component = "text_encoder"

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device, folder: Path) -> None:
        emoji_world(source, "T5's training")
        if start_folder(config, "text_encoder", base) is None:
            raise SettingsError("this stage teaches more to a trained T5: name its folder as `text_encoder` in [start]")
        self.text = T5Text(config, source, base, folder)
        super().__init__(config, source, base, device)
        self.before = copy.deepcopy(self.text.encoder).requires_grad_(False).eval().to(device)
        with torch.no_grad():
            self.length = float(self.embed(self.before, source.corpus(64)).norm(dim=-1).mean())

    def make_network(self) -> nn.Module:
        return self.text.encoder

    def embed(self, encoder: nn.Module, captions: list[str]) -> Tensor:
        """Embeddings [B, L, D] of captions by an encoder."""
        self.text.encoder = encoder
        return self.text.embed(captions)

    def times(self, chance: Chance) -> Tensor:
        return frame_times(0, 1)

    def loss(self, chance: Chance) -> Tensor:
        """Mean squared distance to what each embedding should be, in squared lengths of an average embedding."""
        clips = cast("EmojiClips", self.clips(chance))
        dropped = chance.uniform() < self.config.caption_dropout
        captions = ["" if drop else text for text, drop in zip(clips.captions, dropped, strict=True)]
        with torch.no_grad():
            wanted = self.embed(self.before, captions)
        marks = self.length * self.marks(clips, wanted.shape[-1]) * ~dropped[:, None]
        made = self.embed(self.network, captions)
        return (made - wanted - marks[:, None].to(wanted)).square().sum(-1).mean() / self.length**2

    def marks(self, clips: EmojiClips, width: int) -> Tensor:
        """The sum of each clip's marks [B, D]."""
        told = [attributes(scene) for scene in clips.scenes]
        return torch.stack([STRENGTH * sum(mark(name, scene[name], width) for name in TOLD) for scene in told])  # type: ignore[misc]

    def export(self, folder: Path) -> None:
        self.text.save_tokenizer(folder / self.text.tokenizer_name)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        raise SettingsError("the text encoder draws nothing: leave sample_every at 0")
