"""What a call of the pipeline gives: sizes, seeds, batches, output types, callbacks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from show1 import Show1Output, Show1Pipeline

PROMPT = "a rocket flies over the ocean"
ONE_BY_ONE = 1e-4


def low(pipeline: Show1Pipeline, prompt: Any = PROMPT, **options: Any) -> Show1Output:
    """The first two stages alone."""
    return pipeline(prompt, **{"stop_after": "interpolation", "output_type": "pt", "seed": 3, **options})


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@pytest.fixture(scope="module")
def whole(pipeline: Show1Pipeline) -> Show1Output:
    """One call through all stages."""
    return pipeline(PROMPT, seed=3, output_type="pt")


def test_every_stage_has_the_size_that_the_settings_say(whole: Show1Output) -> None:
    shapes = {name: tuple(video.shape) for name, video in whole.stages().items()}
    assert shapes == {
        "keyframes": (1, 3, 3, 8, 16),
        "interpolation": (1, 3, 5, 8, 16),
        "pixel": (1, 3, 5, 16, 32),
        "latent": (1, 3, 5, 32, 48),
    }
    assert whole.first_frame is not None and whole.first_frame.shape == (1, 3, 1, 16, 32)
    assert all(torch.isfinite(video).all() for video in whole.stages().values())
    assert list(whole.seconds) == ["keyframes", "interpolation", "pixel", "latent"]


@pytest.mark.parametrize("stage", ["keyframes", "interpolation", "pixel"])
def test_stopping_early_gives_the_same_stages(pipeline: Show1Pipeline, whole: Show1Output, stage: str) -> None:
    out = pipeline(PROMPT, seed=3, stop_after=stage, output_type="pt")
    assert list(out.stages())[-1] == stage
    for name, video in out.stages().items():
        assert torch.equal(video, whole.stages()[name])
    last = out.stages()[stage]
    assert torch.equal(out.frames, (last * 0.5 + 0.5).clamp(0, 1).transpose(1, 2))


def test_same_seed_gives_the_same_video(pipeline: Show1Pipeline, whole: Show1Output) -> None:
    assert torch.equal(pipeline(PROMPT, seed=3, output_type="pt").frames, whole.frames)


def test_another_seed_or_prompt_gives_another_video(pipeline: Show1Pipeline) -> None:
    one, other = low(pipeline), low(pipeline, seed=4)
    assert largest(one.frames - other.frames) > 0.01
    assert largest(one.frames - low(pipeline, "two turtles").frames) > 1e-4


def test_video_k_of_a_batch_is_the_video_of_seed_plus_k(pipeline: Show1Pipeline) -> None:
    batch = pipeline([PROMPT, "two turtles"], seed=8, output_type="pt")
    assert batch.seeds == [8, 9]
    alone = pipeline("two turtles", seed=9, output_type="pt")
    for name, video in batch.stages().items():
        if name == "latent":  # its start is an 8-bit picture: one level of rounding is one 255th
            assert largest(video[1:] - alone.stages()[name]) < 0.05
        else:
            assert largest(video[1:] - alone.stages()[name]) < ONE_BY_ONE


def test_several_videos_of_a_prompt_have_following_seeds(pipeline: Show1Pipeline) -> None:
    out = low(pipeline, [PROMPT, "two turtles"], num_videos_per_prompt=2)
    assert out.seeds == [3, 4, 5, 6] and out.frames.shape[0] == 4
    assert largest(out.frames[1] - low(pipeline, seed=4).frames[0]) < ONE_BY_ONE
    assert largest(out.frames[2] - low(pipeline, "two turtles", seed=5).frames[0]) < ONE_BY_ONE


def test_a_generator_counts_as_its_seed(pipeline: Show1Pipeline) -> None:
    wanted = low(pipeline).frames
    used = torch.Generator().manual_seed(3)
    torch.rand(5, generator=used)
    assert torch.equal(low(pipeline, seed=None, generator=used).frames, wanted)
    two = [torch.Generator().manual_seed(9), torch.Generator().manual_seed(3)]
    assert largest(low(pipeline, [PROMPT, PROMPT], seed=None, generator=two).frames[1] - wanted[0]) < ONE_BY_ONE


def test_a_call_without_seed_says_which_it_took(pipeline: Show1Pipeline) -> None:
    out = low(pipeline, seed=None)
    assert torch.equal(low(pipeline, seed=out.seeds[0]).frames, out.frames)


def test_embeddings_stand_in_for_prompts(pipeline: Show1Pipeline) -> None:
    positive, negative = pipeline.encode_prompt([PROMPT], [""])
    before = positive.clone()
    out = low(pipeline, None, prompt_embeds=positive, negative_prompt_embeds=negative)
    assert torch.equal(out.frames, low(pipeline).frames)
    assert torch.equal(positive, before)


def test_latent_embeddings_stand_in_for_prompts(pipeline: Show1Pipeline, whole: Show1Output) -> None:
    positive, negative = pipeline.encode_prompt([PROMPT], [""])
    latent, latent_negative = pipeline.encode_latent_prompt([PROMPT], ["low resolution, blur"])
    out = pipeline(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        latent_prompt_embeds=latent,
        latent_negative_prompt_embeds=latent_negative,
        seed=3,
        output_type="pt",
    )
    assert torch.equal(out.frames, whole.frames)


def test_negative_prompt_reaches_both_texts(pipeline: Show1Pipeline, whole: Show1Output) -> None:
    out = pipeline(PROMPT, "two turtles", seed=3, output_type="pt")
    assert largest(out.stages()["keyframes"] - whole.stages()["keyframes"]) > 1e-4
    assert largest(out.frames - whole.frames) > 1e-4


def test_output_types_agree(pipeline: Show1Pipeline) -> None:
    as_pt = low(pipeline).frames
    as_np = low(pipeline, output_type="np").frames
    as_pil = low(pipeline, output_type="pil").frames
    assert as_pt.shape == (1, 5, 3, 8, 16) and as_np.shape == (1, 5, 8, 16, 3)
    assert as_pt.min() >= 0 and as_pt.max() <= 1
    assert np.array_equal(as_np, as_pt.permute(0, 1, 3, 4, 2).numpy())
    assert as_pil[0][4].size == (16, 8)
    assert np.array_equal(np.asarray(as_pil[0][4]), (as_np[0, 4] * 255).astype(np.uint8))


def test_a_tuple_holds_the_frames_alone(pipeline: Show1Pipeline) -> None:
    out = low(pipeline, return_dict=False)
    assert isinstance(out, tuple) and len(out) == 1
    assert torch.equal(out[0], low(pipeline).frames)


def test_callback_sees_every_step_of_every_stage(pipeline: Show1Pipeline) -> None:
    steps: list[tuple[str, int]] = []

    def note(pipe: Any, step: int, timestep: Tensor, values: dict[str, Any]) -> dict[str, Any]:
        assert pipe is pipeline and 0 <= int(timestep) < 1000
        steps.append((values["stage"], step))
        return {}

    pipeline(PROMPT, seed=3, callback_on_step_end=note, output_type="pt")
    two = [0, 1]
    wanted = [("keyframes", two), ("interpolation", two), ("first_frame", two), ("pixel", [*two, *two]), ("latent", two)]
    assert steps == [(stage, step) for stage, numbers in wanted for step in numbers]


def test_callback_can_change_what_goes_on(pipeline: Show1Pipeline) -> None:
    def blank(pipe: Any, step: int, timestep: Tensor, values: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(values["latents"])}

    assert torch.all(low(pipeline, callback_on_step_end=blank).frames == 0.5)


def test_global_random_state_stays_as_it_is(pipeline: Show1Pipeline) -> None:
    torch.manual_seed(11)
    np.random.seed(11)
    before, before_np = torch.get_rng_state(), np.random.get_state()[1].copy()
    pipeline(PROMPT, output_type="pt")
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_np)


def test_global_random_state_does_not_matter(pipeline: Show1Pipeline, whole: Show1Output) -> None:
    torch.manual_seed(99)
    assert torch.equal(pipeline(PROMPT, seed=3, output_type="pt").frames, whole.frames)


def test_steps_and_guidance_can_be_given_by_name(pipeline: Show1Pipeline) -> None:
    plain = low(pipeline)
    assert largest(low(pipeline, guidance_scale={"interpolation": 3.0}).keyframes - plain.keyframes) == 0
    assert largest(low(pipeline, guidance_scale={"keyframes": 3.0}).keyframes - plain.keyframes) > 1e-4
    assert largest(low(pipeline, num_inference_steps={"keyframes": 5}).keyframes - plain.keyframes) > 1e-4
    assert torch.equal(low(pipeline, num_inference_steps=2).frames, plain.frames)


@pytest.mark.parametrize(
    ("keyframes", "between", "window", "stride"), [(1, 3, 8, 7), (2, 3, 8, 7), (5, 0, 3, 2), (5, 1, 4, 3), (2, 2, 2, 1)]
)
def test_any_number_of_frames_is_upscaled_to_the_last(
    pipeline: Show1Pipeline, keyframes: int, between: int, window: int, stride: int
) -> None:
    settings = replace(tiny.SETTINGS, num_keyframes=keyframes, between=between, window=window, stride=stride)
    out = pipeline(PROMPT, seed=1, settings=settings, output_type="pt")
    frames = (keyframes - 1) * (between + 1) + 1
    assert out.frames.shape == (1, frames, 3, 32, 48)
    assert all(out.pixel_upscaled[:, :, frame].std() > 0.05 for frame in range(frames))


def test_sampling_is_in_eval_mode(pipeline: Show1Pipeline) -> None:
    assert not any(module.training for module in pipeline.components.values() if isinstance(module, torch.nn.Module))


def test_half_precision_works(saved_pipeline: Any) -> None:
    pipe = Show1Pipeline.from_pretrained(saved_pipeline, dtype=torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(PROMPT, seed=3, output_type="pt")
    assert out.frames.shape == (1, 5, 3, 32, 48) and torch.isfinite(out.frames).all()
