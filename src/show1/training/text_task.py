"""What training of a text encoder by itself has in common: it starts from a trained one, which stays at hand as it was."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.clips import Clips, ClipSource, emoji_world, frame_times
from show1.training.components import start_folder
from show1.training.config import DataConfig, TrainConfig
from show1.training.task import Task
from show1.training.texts import T5Text
from show1.worlds.emoji import EmojiWorld


class TextTask(Task):
    """T5 learns from what it was before."""

    component = "text_encoder"

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device, folder: Path) -> None:
        world = emoji_world(source, "T5's training")
        if start_folder(config, "text_encoder", base) is None:
            raise SettingsError("this stage teaches more to a trained T5: name its folder as `text_encoder` in [start]")
        self.text = T5Text(config, source, base, folder)
        self.prepare(config.data, world, folder)
        super().__init__(config, source, base, device)
        self.before = copy.deepcopy(self.text.encoder).requires_grad_(False).eval().to(device)
        with torch.no_grad():
            self.length = float(self.embed(self.before, source.corpus(64)).norm(dim=-1).mean())
            """Of an average embedding."""

    def prepare(self, data: DataConfig, world: EmojiWorld, folder: Path) -> None:
        """Change the text encoder or its tokenizer before anything is learned."""

    def make_network(self) -> nn.Module:
        return self.text.encoder

    def embed(self, encoder: nn.Module, captions: list[str]) -> Tensor:
        """Embeddings [B, L, D] of captions by an encoder."""
        self.text.encoder = encoder
        return self.text.embed(captions)

    def times(self, chance: Chance) -> Tensor:
        return frame_times(0, 1)

    def export(self, folder: Path) -> None:
        self.text.save_tokenizer(folder / self.text.tokenizer_name)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        raise SettingsError("the text encoder draws nothing: leave sample_every at 0")
