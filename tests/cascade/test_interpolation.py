"""Interpolation: its condition, and all pairs as one batch."""

import torch

import tiny
from show1 import PixelUNet, SamplerSettings, Show1Pipeline
from show1.cascade.interpolation import blend_condition, sample_interpolation
from show1.cascade.stage import Sampler, Text

KEYFRAMES = torch.randn(2, 3, 4, 8, 16, generator=torch.Generator().manual_seed(1))
TEXT = Text(torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2)), torch.zeros(2, 5, 16))


def sampler(pipeline: Show1Pipeline) -> Sampler:
    network: PixelUNet = pipeline.interpolation_unet
    return Sampler(network, tiny.solver(), SamplerSettings(steps=3, guidance=2.0))


def test_condition_is_a_straight_line_between_the_keyframes_with_the_ends_marked() -> None:
    first, last = torch.full((1, 3, 2, 2), -1.0), torch.full((1, 3, 2, 2), 1.0)
    condition = blend_condition(first, last, 5)
    assert torch.allclose(condition[0, 0, :, 0, 0], torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]))
    assert torch.equal(condition[0, 3, :, 1, 1], torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0]))


@torch.no_grad()
def test_all_pairs_as_one_batch_equal_pairs_one_by_one(pipeline: Show1Pipeline) -> None:
    whole = sample_interpolation(sampler(pipeline), TEXT, KEYFRAMES, 3, [5, 6])
    assert whole.shape == (2, 3, 13, 8, 16)
    for video in range(2):
        text = Text(TEXT.positive[video : video + 1], TEXT.negative[video : video + 1])
        for pair in range(3):
            ends = KEYFRAMES[video : video + 1, :, pair : pair + 2]
            alone = sample_interpolation(sampler(pipeline), text, ends, 3, [5 + video])
            kept = slice(None) if pair == 2 else slice(4)  # where two meet, the later one's frame is kept
            start = 4 * pair
            assert (whole[video : video + 1, :, start : start + 5][:, :, kept] - alone[:, :, kept]).abs().max() < 1e-4


@torch.no_grad()
def test_one_keyframe_or_nothing_between_leaves_keyframes(pipeline: Show1Pipeline) -> None:
    one = KEYFRAMES[:1, :, :1]
    assert torch.equal(sample_interpolation(sampler(pipeline), TEXT, one, 3, [1]), one)
    assert torch.equal(sample_interpolation(sampler(pipeline), TEXT, KEYFRAMES, 0, [1, 2]), KEYFRAMES)


@torch.no_grad()
def test_keyframes_are_not_modified(pipeline: Show1Pipeline) -> None:
    given = KEYFRAMES.clone()
    sample_interpolation(sampler(pipeline), TEXT, given, 1, [1, 2])
    assert torch.equal(given, KEYFRAMES)
