"""Prompts: what is refused, cleaned and cut, and how the encoders are fed."""

import pytest
import torch

from show1 import Show1Pipeline
from show1.errors import PromptError
from show1.text import check_embeddings, check_prompt, clean_captions, encode_clip, encode_t5, tokenize


@pytest.mark.parametrize(
    ("given", "checked"),
    [("a\x00b\nc\td", "a b c d"), ("\ud800x\ue000", " x "), ("火箭 🚀 café", "火箭 🚀 café"), ("", ""), ("👩\u200d🚀", "👩\u200d🚀")],
)
def test_control_characters_become_spaces_and_the_rest_stays(given: str, checked: str) -> None:
    assert check_prompt(given) == checked


@pytest.mark.parametrize(("given", "text"), [(None, "NoneType"), (b"x", "bytes"), ("a" * 10_001, "10001 characters; at most 10000")])
def test_what_is_no_prompt_is_refused(given: object, text: str) -> None:
    with pytest.raises(PromptError, match=text):
        check_prompt(given)  # type: ignore[arg-type]


def test_cleaning_lowers_and_takes_links_and_tags_out() -> None:
    cleaned = clean_captions(["A <b>Rocket</b> over http://example.com/x.png THE Ocean", "", "  Two   Turtles "])
    assert cleaned[0].split() == ["a", "rocket", "over", "the", "ocean"]
    assert cleaned[1:] == ["", "two turtles"]


@torch.no_grad()
def test_captions_can_be_left_uncleaned(pipeline: Show1Pipeline) -> None:
    def encode(text: str, clean: bool) -> torch.Tensor:
        return encode_t5(pipeline.tokenizer, pipeline.text_encoder, [text], 12, clean=clean)

    assert torch.equal(encode("  A Rocket ", False), encode("a rocket", False))
    assert torch.equal(encode("<b>A</b> Rocket", True), encode("a rocket", False))
    assert not torch.equal(encode("<b>a</b> rocket", False), encode("a rocket", False))


@torch.no_grad()
def test_padding_does_not_change_what_the_words_mean(pipeline: Show1Pipeline) -> None:
    short, long = (encode_t5(pipeline.tokenizer, pipeline.text_encoder, ["a rocket"], length) for length in (5, 12))
    assert short.shape == (1, 5, 16) and long.shape == (1, 12, 16)
    assert torch.allclose(short[:, :3], long[:, :3], atol=1e-5)  # two words and the end


@torch.no_grad()
def test_latent_text_mends_mojibake_and_keeps_the_case(pipeline: Show1Pipeline) -> None:
    def encode(text: str) -> torch.Tensor:
        return encode_clip(pipeline.latent_tokenizer, pipeline.latent_text_encoder, [text])

    assert torch.equal(encode("the sailor\u2019s ocean"), encode("the sailor's ocean"))
    assert encode("a rocket").shape == (1, 32, 16)


def test_text_that_is_cut_is_said_with_the_part_that_is_lost(pipeline: Show1Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tokenize(pipeline.tokenizer, ["the ocean at night", "a rocket"], 4)
    assert tokens["input_ids"].shape == (2, 4) and tokens["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["The prompt is longer than 4 tokens; this part of it is not read: 'night'"]


@pytest.mark.parametrize("shape", [(2, 5, 16), (1, 16), (1, 5, 15), (1, 1, 5, 16)])
def test_embeddings_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PromptError, match=r"name has shape .*expected \[1, tokens, 16\]"):
        check_embeddings("name", torch.zeros(shape), 1, 16)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(bad: float) -> None:
    embeddings = torch.zeros(1, 5, 16)
    embeddings[0, 2, 3] = bad
    with pytest.raises(PromptError, match="not finite"):
        check_embeddings("name", embeddings, 1, 16)
