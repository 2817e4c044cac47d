"""Training of T5 itself: every embedding tells what the caption asks for, as plainly as it tells what training on pictures needed.

An encoder that is trained with an image network learns to tell objects and places apart, and hardly to tell motions apart, which no
picture shows: "to the left" and "to the right" then lie a hundred times nearer to each other than "car" and "turtle", and a
video network that starts from it learns motion slowly or not at all.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from show1.training.chance import Chance
from show1.training.clips import EmojiClips
from show1.training.text_task import TextTask
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


class Telling(TextTask):
    """The text encoder learns to be as it was, with the marks of what the caption asks for added to every token's embedding."""

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
