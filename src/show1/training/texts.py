"""The text encoder of a training run: made anew with its tokenizer, or loaded from where the run starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from show1.models.loading import load_tokenizer, load_transformer
from show1.text import encode_clip, encode_t5
from show1.training.clips import Clips, ClipSource
from show1.training.components import start_folder
from show1.training.config import TrainConfig
from show1.training.prepared import check_maker
from show1.training.tokenizers import CLIP_LENGTH, SPIECE, make_clip_tokenizer, make_t5_tokenizer

CORPUS = 30_000
"""Captions that a new tokenizer is made from."""


class TrainingText:
    """A tokenizer and text encoder under the names they are saved by, and how the stage feeds them."""

    encoder_name: str
    tokenizer_name: str
    tokenizer: Any
    encoder: nn.Module

    arrays: tuple[str, ...] = ()
    """What it reads of every clip that was computed ahead."""

    def embed(self, captions: Sequence[str]) -> Tensor:
        """Embeddings [B, L, D], exactly as sampling makes them."""
        raise NotImplementedError

    def of(self, clips: Clips, dropped: Tensor) -> Tensor:
        """Embeddings [B, L, D] of clips' captions, and of the empty one where `dropped` [B]."""
        return self.embed(["" if drop else text for text, drop in zip(clips.captions, dropped, strict=True)])

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self.tokenizer.save_pretrained(folder)


class StoredText(TrainingText):
    """Embeddings that were computed ahead: no encoder runs, or need fit into memory."""

    encoder_name = tokenizer_name = "none"

    def __init__(self, kind: str, empty: Tensor) -> None:
        self.arrays = (kind,)
        self.empty = empty
        self.encoder = nn.Identity()

    def of(self, clips: Clips, dropped: Tensor) -> Tensor:
        stored = clips.array(self.arrays[0])
        return torch.where(dropped.to(stored.device)[:, None, None], self.empty, stored)


def make_text(kind: str, config: TrainConfig, source: ClipSource, base: Path, folder: Path) -> TrainingText:
    """A stage's text: embeddings computed ahead where the source has them, otherwise the encoder of a kind, `t5` or `clip`.

    Raises:
        SettingsError: the embeddings are those of another encoder than the configuration starts from.
    """
    made = {} if config.train_text else source.prepared(kind)
    if made:
        check_maker(made, start_folder(config, "text_encoder", base), "text_encoder")
        return StoredText(kind, source.empty_text(kind))
    return T5Text(config, source, base, folder) if kind == "t5" else ClipText(config, source, base)


class T5Text(TrainingText):
    """T5 for the pixel stages."""

    encoder_name, tokenizer_name = "text_encoder", "tokenizer"

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, folder: Path) -> None:
        from transformers import T5Config, T5EncoderModel, T5Tokenizer

        self.length = config.text_tokens
        self.place = start_folder(config, "tokenizer", base) or folder / "new_tokenizer"
        if "tokenizer" in config.start:
            self.tokenizer = load_tokenizer(T5Tokenizer, self.place)
        else:
            self.tokenizer = make_t5_tokenizer(source.corpus(CORPUS), self.place)
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
        model = self.place / SPIECE  # transformers does not write it, older stacks need it
        if model.exists():
            (folder / SPIECE).write_bytes(model.read_bytes())


class ClipText(TrainingText):
    """CLIP for the latent stage."""

    encoder_name, tokenizer_name = "latent_text_encoder", "latent_tokenizer"

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        place = start_folder(config, "tokenizer", base)
        self.tokenizer = load_tokenizer(CLIPTokenizer, place) if place else make_clip_tokenizer(source.corpus(CORPUS))
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
