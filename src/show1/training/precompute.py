"""What `show1 data prepare` computes ahead: text embeddings and latents, as training would."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from show1.data.decoding import read_frames
from show1.data.prepare import CheckedClip
from show1.errors import CheckpointError, SettingsError
from show1.models.autoencoders import load_vae
from show1.models.loading import load_tokenizer, load_transformer
from show1.models.reading import read_json
from show1.text import encode_clip, encode_t5
from show1.training.clips import CLIP_FRAMES, USUAL_SIZES, frame_times
from show1.training.latents import LATENTS
from show1.training.latents import encode_clip as latents_of_clip
from show1.training.prepared import maker_mark
from show1.video import from_uint8


class TextExtra:
    """Embeddings [L, D] of captions, in 16 bits, by a T5 encoder (`t5`) or a CLIP text model (`clip`)."""

    def __init__(self, folder: Path, tokens: int, device: torch.device) -> None:
        """`folder`: the encoder's; its tokenizer lies beside it (`text_encoder` and `tokenizer`), or in it.

        Raises:
            CheckpointError: no such encoder or tokenizer.
            SettingsError: an encoder of another kind.
        """
        from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

        model = str(read_json(folder / "config.json").get("model_type"))
        classes = {"t5": ("t5", T5EncoderModel, T5Tokenizer), "clip_text_model": ("clip", CLIPTextModel, CLIPTokenizer)}
        if model not in classes:
            raise SettingsError(f"'{folder}' holds a '{model}', neither a T5 encoder nor a CLIP text model")
        self.kind, encoder, tokenizer = classes[model]
        self.folder = folder
        self.tokens = tokens
        self.tokenizer = load_tokenizer(tokenizer, _tokenizer_folder(folder))
        self.encoder = load_transformer(encoder, folder).to(device)

    def facts(self) -> dict[str, Any]:
        return {"maker": maker_mark(self.folder), "tokens": self.tokens, "empty": f"empty.{self.kind}.npy"}

    @torch.no_grad()
    def _embed(self, captions: list[str]) -> Tensor:
        if self.kind == "t5":
            return encode_t5(self.tokenizer, self.encoder, captions, self.tokens)
        return encode_clip(self.tokenizer, self.encoder, captions)

    def arrays(self, clips: Sequence[CheckedClip]) -> list[np.ndarray]:
        return list(self._embed([clip.caption for clip in clips]).half().cpu().numpy())

    def files(self) -> dict[str, np.ndarray]:
        return {f"empty.{self.kind}.npy": self._embed([""])[0].half().cpu().numpy()}


def _tokenizer_folder(folder: Path) -> Path:
    beside = folder.with_name(re.sub("text_encoder$", "tokenizer", folder.name))
    return beside if beside.is_dir() else folder


class LatentExtra:
    """Moments [29, 2 C, h, w] of a clip's first frames at 7.5 a second and 576 x 320, in 16 bits."""

    kind = LATENTS

    def __init__(self, folder: Path, device: torch.device) -> None:
        """`folder`: the VAE's.

        Raises:
            CheckpointError: no VAE there.
        """
        self.folder = folder
        self.device = device
        self.vae = load_vae(folder).to(device)
        if self.vae.config.in_channels != 3:
            raise CheckpointError(f"the VAE in '{folder}' does not take pictures of 3 channels")

    def facts(self) -> dict[str, Any]:
        return {"maker": maker_mark(self.folder), "size": list(USUAL_SIZES.final), "frames": CLIP_FRAMES}

    @torch.no_grad()
    def arrays(self, clips: Sequence[CheckedClip]) -> list[np.ndarray]:
        return [self._array(clip) for clip in clips]

    def _array(self, clip: CheckedClip) -> np.ndarray:
        frames = read_frames(clip.data, frame_times(0, CLIP_FRAMES).tolist(), USUAL_SIZES.final, hold=True)
        video = from_uint8(torch.from_numpy(frames)).to(self.device)
        return latents_of_clip(self.vae, video).half().cpu().numpy()

    def files(self) -> dict[str, np.ndarray]:
        return {}
