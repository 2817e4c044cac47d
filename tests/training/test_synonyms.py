"""Words that T5 was never taught are read as words that it was."""

from pathlib import Path

import pytest
import torch
from transformers import T5EncoderModel, T5Tokenizer

from show1.errors import SettingsError
from show1.models.loading import load_tokenizer, load_transformer
from show1.training.synonyms import read_synonyms, widen

MEANT = {"automobile": "car", "leftwards": "left", "airplane": "zeppelin"}


def embeddings(tokenizer: T5Tokenizer, encoder: T5EncoderModel, text: str) -> torch.Tensor:
    with torch.no_grad():
        return encoder(tokenizer(text, return_tensors="pt").input_ids)[0]


def test_a_synonym_is_read_as_what_it_means_and_known_words_as_ever(runs: Path, tmp_path: Path) -> None:
    final = runs / "keyframes" / "final"
    tokenizer, encoder = load_tokenizer(T5Tokenizer, final / "tokenizer"), load_transformer(T5EncoderModel, final / "text_encoder")
    known, spelled = "a car moves left", embeddings(tokenizer, encoder, "an automobile moves leftwards")
    before = embeddings(tokenizer, encoder, known)
    (tmp_path / "wide").mkdir()
    wide = widen(tokenizer, encoder, MEANT, tmp_path / "wide")
    assert torch.equal(embeddings(wide, encoder, known), before)
    assert torch.equal(embeddings(wide, encoder, "a automobile moves leftwards"), before)
    assert spelled.shape[1] > 2 * before.shape[1], "letters filled the prompt before"
    assert torch.equal(embeddings(wide, encoder, "a qwxy car"), embeddings(wide, encoder, "a the car")), "other words are one neutral word"
    assert "▁airplane" not in wide.get_vocab(), "what a synonym means must be known"


def test_a_file_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "synonyms.json").write_text('{"two words": "car"}')
    with pytest.raises(SettingsError, match="'two words'"):
        read_synonyms(tmp_path / "synonyms.json")
