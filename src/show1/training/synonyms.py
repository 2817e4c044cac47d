"""Words that a trained T5 was never taught, given the embeddings of words that it was: no training, and captions of known words stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from show1.errors import SettingsError
from show1.models.reading import read_json
from show1.training.tokenizers import SPACE, SPECIAL, write_t5_tokenizer

NEUTRAL = "the"
"""What every other unknown word is read as, once, in place of a row of letters that were never learned either."""
SCORE = -10.0
"""Log-probability of every piece: words are not cut, so that none competes with another."""


def read_synonyms(path: Path) -> dict[str, str]:
    """From a JSON object: unknown word -> the known word that it is read as.

    Raises:
        CheckpointError: missing or malformed.
        SettingsError: other things in it than words.
    """
    words = read_json(path)
    for word, meant in words.items():
        if not (word.isalpha() and word.islower() and isinstance(meant, str) and meant.isalpha()):
            raise SettingsError(f"'{path}': {word!r} -> {meant!r}; each must be one word in lower case")
    return words


def widen(tokenizer: Any, encoder: Any, synonyms: Mapping[str, str], folder: Path) -> Any:
    """A tokenizer that knows the synonyms too, also written to `folder` as `spiece.model`; the encoder's embeddings are changed in place.

    Args:
        tokenizer: one whose every word is one piece (see `tokenizers.make_t5_tokenizer`).
        encoder: its T5.
        synonyms: unknown word -> known word; those whose known word the tokenizer does not know are left out.
    """
    ids = tokenizer.get_vocab()
    known = sorted((piece for piece in ids if piece.startswith(SPACE) and len(piece) > 1), key=ids.__getitem__)
    new = {SPACE + word: SPACE + meant for word, meant in sorted(synonyms.items()) if SPACE + meant in ids and SPACE + word not in ids}
    neutral = SPACE + NEUTRAL if SPACE + NEUTRAL in ids else SPECIAL[2]
    special = [*SPECIAL[:2], neutral]
    rows = torch.tensor([ids[piece] for piece in (*special, *known, *new.values())])
    embeddings = encoder.get_input_embeddings().weight.detach()[rows].clone()
    encoder.resize_token_embeddings(len(rows), mean_resizing=False)
    with torch.no_grad():
        encoder.get_input_embeddings().weight.copy_(embeddings)
    return write_t5_tokenizer([(piece, 0.0 if piece in SPECIAL else SCORE) for piece in (*SPECIAL, *known, *new)], folder)
