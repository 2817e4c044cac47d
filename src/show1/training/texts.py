"""The text encoder of a training run: made anew with its tokenizer, or loaded from where the run starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.models.loading import load_tokenizer, load_transformer
from show1.text import encode_clip, encode_t5
from show1.training.components import start_folder
from show1.training.config import TrainConfig
from show1.training.tokenizers import CLIP_LENGTH, make_clip_tokenizer, make_t5_tokenizer
from show1.worlds.emoji import EmojiWorld, caption

CORPUS = 30_000
"""Captions that a new tokenizer is made from."""


class TrainingText:
    """A tokenizer and text encoder under the names they are saved by, and how the stage feeds them."""

    encoder_name: str
    tokenizer_name: str
    tokenizer: Any
    encoder: nn.Module

    def embed(self, captions: Sequence[str]) -> Tensor:
        """Embeddings [B, L, D], exactly as sampling makes them."""
        raise NotImplementedError

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self.tokenizer.save_pretrained(folder)


def _corpus(world: EmojiWorld) -> list[str]:
    return [caption(world.sample_scene(seed), seed) for seed in range(CORPUS)]


class T5Text(TrainingText):
    """T5 for the pixel stages."""

    encoder_name, tokenizer_name = "text_encoder", "tokenizer"

    def __init__(self, config: TrainConfig, world: EmojiWorld, base: Path, folder: Path) -> None:
        from transformers import T5Config, T5EncoderModel, T5Tokenizer

        self.length = config.text_tokens
        self.source = start_folder(config, "tokenizer", base) or folder / "new_tokenizer"
        if "tokenizer" in config.start:
            self.tokenizer = load_tokenizer(T5Tokenizer, self.source)
        else:
            self.tokenizer = make_t5_tokenizer(_corpus(world), self.source)
        start = start_folder(config, "text_encoder", base)
        if start is not None:
            self.encoder = load_transformer(T5EncoderModel, start)
            return
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = T5EncoderModel(T5Config(**dict(config.text_encoder)))

    def embed(self, captions: Sequence[str]) -> Tensor:
        return encode_t5(self.tokenizer, self.encoder, captions, self.length)

    def save_tokenizer(self, folder: Path) -> None:
        super().save_tokenizer(folder)
        model = self.source / "spiece.model"  # transformers does not write it, older stacks need it
        if model.exists():
            (folder / "spiece.model").write_bytes(model.read_bytes())


class ClipText(TrainingText):
    """CLIP for the latent stage."""

    encoder_name, tokenizer_name = "latent_text_encoder", "latent_tokenizer"

    def __init__(self, config: TrainConfig, world: EmojiWorld, base: Path) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        source = start_folder(config, "tokenizer", base)
        self.tokenizer = load_tokenizer(CLIPTokenizer, source) if source else make_clip_tokenizer(_corpus(world))
        start = start_folder(config, "text_encoder", base)
        if start is not None:
            self.encoder = load_transformer(CLIPTextModel, start)
            return
        special = {"bos_token_id": self.tokenizer.bos_token_id, "eos_token_id": self.tokenizer.eos_token_id}
        values = {"max_position_embeddings": CLIP_LENGTH, **special, "pad_token_id": self.tokenizer.pad_token_id}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = CLIPTextModel(CLIPTextConfig(**values, **dict(config.text_encoder)))

    def embed(self, captions: Sequence[str]) -> Tensor:
        return encode_clip(self.tokenizer, self.encoder, captions)
