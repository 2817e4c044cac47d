"""What the pipeline refuses, and that it says why; odd prompts that it takes."""

from typing import Any

import pytest
import torch

from show1 import Show1Pipeline
from show1.errors import PromptError, SettingsError, Show1Error

PROMPT = "a rocket flies over the ocean"
EMBEDS = torch.zeros(1, 12, 16)

REFUSED: dict[str, tuple[dict[str, Any], type[Show1Error], str]] = {
    "unknown stage": ({"stop_after": "sr3"}, SettingsError, "'sr3'.*keyframes, interpolation, pixel, latent"),
    "unknown output type": ({"output_type": "gif"}, SettingsError, "'gif'.*pil, np, pt"),
    "no videos": ({"num_videos_per_prompt": 0}, SettingsError, "num_videos_per_prompt is 0"),
    "negative count": ({"num_videos_per_prompt": -2}, SettingsError, "-2"),
    "no steps": ({"num_inference_steps": 0}, SettingsError, "steps is 0"),
    "steps of an unknown stage": ({"num_inference_steps": {"sr1": 3}}, SettingsError, "'sr1'.*first_frame"),
    "guidance that is too large": ({"guidance_scale": 1000.0}, SettingsError, "guidance is 1000"),
    "guidance that is no number": ({"guidance_scale": float("nan")}, SettingsError, "guidance is nan"),
    "seed below zero": ({"seed": -1}, SettingsError, "seed -1"),
    "seed beyond 63 bits": ({"seed": 2**63}, SettingsError, "out of range"),
    "seed and generator": ({"seed": 1, "generator": torch.Generator()}, SettingsError, "not both"),
    "generators of another number": ({"generator": [torch.Generator()] * 2}, SettingsError, "2 generators for 1 videos"),
    "no prompt": ({"prompt": None}, PromptError, "prompt_embeds"),
    "an empty list": ({"prompt": []}, PromptError, "empty"),
    "a prompt that is no text": ({"prompt": [3]}, PromptError, "int"),
    "a prompt that is too long": ({"prompt": "a" * 10_001}, PromptError, "10001"),
    "negative prompts of another number": ({"negative_prompt": ["a", "b"]}, PromptError, "2 negative prompts for 1"),
    "embeddings of another width": ({"prompt_embeds": torch.zeros(1, 12, 8)}, PromptError, r"\[1, 12, 8\].*16"),
    "embeddings of another number": ({"prompt_embeds": torch.zeros(2, 12, 16)}, PromptError, r"prompt_embeds has shape \[2, 12, 16\]"),
    "embeddings without tokens": ({"prompt_embeds": torch.zeros(1, 16)}, PromptError, r"\[1, 16\]"),
    "embeddings that are not finite": ({"prompt_embeds": EMBEDS * float("nan")}, PromptError, "prompt_embeds.*finite"),
    "embeddings that differ in length": ({"prompt_embeds": torch.zeros(1, 5, 16)}, PromptError, "5 and 12"),
    "latent embeddings of another width": ({"latent_prompt_embeds": torch.zeros(1, 5, 9)}, PromptError, "latent_prompt_embeds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_the_reason(pipeline: Show1Pipeline, name: str) -> None:
    options, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        pipeline(**{"prompt": PROMPT, **options})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"keyframe_size": (15, 8)}, "keyframe_size 15x8.*multiples of 2.*16x8"),
        ({"keyframe_size": (0, 8)}, "keyframe_size 0x8"),
        ({"final_size": (48, 33)}, "final_size 48x33.*multiples of 2"),
        ({"num_keyframes": 0}, "num_keyframes is 0"),
        ({"between": -1}, "between is -1"),
        ({"stride": 4}, "stride 4"),
        ({"window": 1}, "window is 1"),
        ({"fps": 0.0}, "fps is 0"),
        ({"colour": 1}, "unknown setting 'colour'.*between"),
    ],
)
def test_sizes_and_counts_that_do_not_fit_are_refused(pipeline: Show1Pipeline, change: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        pipeline(PROMPT, settings={**pipeline.settings.to_dict(), **change})


def test_a_sampler_setting_that_is_not_one_is_refused(pipeline: Show1Pipeline) -> None:
    values = pipeline.settings.to_dict()
    with pytest.raises(SettingsError, match="stepps"):
        pipeline(PROMPT, settings={**values, "pixel": {"stepps": 3}})


def test_nothing_is_refused_late(pipeline: Show1Pipeline) -> None:
    """Bad latent embeddings are found before minutes of pixel stages."""
    calls: list[int] = []
    with pytest.raises(PromptError):
        pipeline(PROMPT, latent_prompt_embeds=torch.zeros(1, 5, 9), callback_on_step_end=lambda *_: calls.append(1))
    assert not calls


@pytest.mark.parametrize(
    "prompt", ["", " ", "\x00\x07 rocket \ud800", "火箭在夜晚飞过海洋", "🚀 over 🌊", "<b>rocket</b> & http://x.y/z.png", "a " * 4000]
)
def test_odd_prompts_make_videos(pipeline: Show1Pipeline, prompt: str) -> None:
    out = pipeline(prompt, seed=1, output_type="pt")
    assert out.frames.shape == (1, 5, 3, 32, 48) and torch.isfinite(out.frames).all()


def test_unknown_words_are_named_once_in_order(pipeline: Show1Pipeline) -> None:
    assert pipeline.unknown_words("A Zebra flies, over the Zebra at night; a quokka!") == ["zebra", "quokka"]
    assert pipeline.unknown_words("a rocket flies over the ocean") == []
    assert pipeline.unknown_words("") == []


def test_text_that_is_cut_is_said(pipeline: Show1Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    pipeline.encode_prompt(["the ocean " * 10 + "rocket"], [""])
    assert "12 tokens" in caplog.text and "rocket" in caplog.text


def test_a_pipeline_without_text_encoder_asks_for_embeddings(saved_pipeline: Any) -> None:
    pipe = Show1Pipeline.from_pretrained(saved_pipeline, text_encoder=None, tokenizer=None)
    with pytest.raises(PromptError, match="prompt_embeds"):
        pipe(PROMPT)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(prompt_embeds=EMBEDS, negative_prompt_embeds=EMBEDS, stop_after="keyframes", output_type="pt")
    assert out.frames.shape == (1, 3, 3, 8, 16)
