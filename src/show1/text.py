"""Prompts -> embeddings: caption cleaning, T5 for the pixel stages, CLIP for the latent stage; says what was cut.

Shapes: B prompts, L tokens, D embedding width.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import ftfy
import torch
from torch import Tensor

from show1.errors import PromptError
from show1.prompt import check_prompt as check_prompt  # its old place

logger = logging.getLogger(__name__)


def clean_captions(prompts: Sequence[str]) -> list[str]:
    """DeepFloyd IF's caption cleaning, applied twice as it does: lower case; links, tags, odd punctuation and the like go."""
    from diffusers.pipelines.deepfloyd_if.pipeline_if import IFPipeline

    cleaner = object.__new__(IFPipeline)  # its cleaning needs no components
    return IFPipeline._text_preprocessing(cleaner, list(prompts), clean_caption=True)


def tokenize(tokenizer: Any, prompts: Sequence[str], length: int) -> dict[str, Tensor]:
    """Token ids and attention mask [B, L], padded and cut to `length`; a warning names what was cut."""
    tokens = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    for prompt in prompts:
        whole = tokenizer(prompt).input_ids
        if len(whole) > length:
            cut = tokenizer.decode(whole[length - 1 : -1], skip_special_tokens=True)
            logger.warning("The prompt is longer than %d tokens; this part of it is not read: '%s'", length, cut)
    return {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}


def encode_t5(tokenizer: Any, encoder: Any, prompts: Sequence[str], length: int, *, clean: bool = True) -> Tensor:
    """T5 embeddings [B, L, D] of captions, padding tokens included, as Imagen and IF feed them.

    Args:
        length: L, tokens a prompt.
        clean: clean the captions; otherwise they are only lower-cased and stripped.
    """
    texts = clean_captions(prompts) if clean else [prompt.lower().strip() for prompt in prompts]
    tokens = tokenize(tokenizer, texts, length)
    device = next(encoder.parameters()).device
    return encoder(tokens["input_ids"].to(device), attention_mask=tokens["attention_mask"].to(device))[0]


def encode_clip(tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> Tensor:
    """CLIP text embeddings [B, L, D] of raw prompts, as Stable Diffusion and ModelScope feed them.

    CLIP's original tokenizer mends mojibake with ftfy before it looks at the text; today's does not, so it is done here.
    """
    tokens = tokenize(tokenizer, [ftfy.fix_text(prompt) for prompt in prompts], tokenizer.model_max_length)
    device = next(encoder.parameters()).device
    return encoder(tokens["input_ids"].to(device))[0]


def check_embeddings(name: str, embeddings: Tensor, batch: int, width: int) -> None:
    """Raise PromptError unless `embeddings` is [batch, any length, width] and finite."""
    if embeddings.ndim != 3 or embeddings.shape[0] != batch or embeddings.shape[2] != width:
        raise PromptError(f"{name} has shape {list(embeddings.shape)}; expected [{batch}, tokens, {width}]")
    if not torch.isfinite(embeddings).all():
        raise PromptError(f"{name} holds numbers that are not finite")
