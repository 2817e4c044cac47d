"""Tokenizers of the bundled model's text encoders, made from the words of its captions."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from show1.video import whole_file

SPECIAL = ("<pad>", "</s>", "<unk>")
SPACE = "▁"  # SentencePiece's mark of a word's beginning
SPIECE = "spiece.model"
"""File of a T5 tokenizer that older stacks read."""
LETTER_SCORE = -30.0  # letters spell only words that are not known whole
CLIP_LENGTH = 32


def unigram_vocabulary(captions: Sequence[str]) -> list[tuple[str, float]]:
    """Pieces and log-probabilities: every word of the captions is one piece, anything else is spelled in letters."""
    words = Counter(word for text in captions for word in text.lower().replace(",", " , ").split())
    total = words.total()
    pieces = [(token, 0.0) for token in SPECIAL]
    pieces += [(SPACE + word, math.log(count / total)) for word, count in sorted(words.items())]
    known = {piece for piece, _ in pieces}
    letters = [SPACE, *string.ascii_lowercase, *string.digits, *string.punctuation]
    return pieces + [(letter, LETTER_SCORE) for letter in letters if letter not in known]


def make_t5_tokenizer(captions: Sequence[str], folder: Path) -> Any:
    """A T5 tokenizer over the captions' words; also written to `folder` as `spiece.model`, which older stacks read."""
    return write_t5_tokenizer(unigram_vocabulary(captions), folder)


def write_t5_tokenizer(pieces: Sequence[tuple[str, float]], folder: Path) -> Any:
    """A T5 tokenizer of pieces with their log-probabilities, the first three SPECIAL; also written to `folder` as `spiece.model`."""
    from sentencepiece import sentencepiece_model_pb2
    from transformers import T5Tokenizer

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    for index, (piece, score) in enumerate(pieces):
        kind = {2: 2, 0: 3, 1: 3}.get(index, 1)  # SentencePiece's types: 1 normal, 2 unknown, 3 control
        model.pieces.add(piece=piece, score=score, type=kind)
    spec = model.trainer_spec
    spec.model_type, spec.vocab_size = spec.UNIGRAM, len(model.pieces)
    spec.pad_id, spec.eos_id, spec.unk_id, spec.bos_id = 0, 1, 2, -1
    model.normalizer_spec.name = "identity"
    with whole_file(folder / SPIECE) as partial:  # several processes make the same one
        partial.write_bytes(model.SerializeToString())
    return T5Tokenizer.from_pretrained(folder, extra_ids=0)


def make_clip_tokenizer(captions: Sequence[str], vocabulary: int = 1024) -> Any:
    """A CLIP tokenizer whose byte-pair merges are learned from the captions."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer().train_new_from_iterator(iter(captions), vocab_size=vocabulary)
    tokenizer.model_max_length = CLIP_LENGTH
    return tokenizer
