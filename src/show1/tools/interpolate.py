"""`show1 interpolate`: new frames between those of any video (Show-1, section 3.3), a few pairs at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from show1.cascade.call import evaluating
from show1.cascade.interpolation import sample_interpolation
from show1.cascade.settings import CascadeSettings
from show1.cascade.stage import Sampler, Text
from show1.errors import DataError, SettingsError
from show1.text import check_prompt
from show1.tools.clips import Clip
from show1.tools.sizes import even, fitted, multiple_of
from show1.tools.writing import as_pictures, check_clip_ending, write_clip

Timed = tuple[Tensor, Fraction]


@torch.no_grad()
def interpolate_clip(
    pipeline: Any,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    prompt: str = "",
    negative_prompt: str = "",
    seed: int = 0,
    size: tuple[int, int] | None = None,
    settings: CascadeSettings | None = None,
    on_frame: Callable[[], object] | None = None,
) -> Path:
    """Put `settings.between` new frames between neighbouring ones of a video of any length. It lasts as long as before, with its sound.

    The stage's own version of every frame takes the frame's place, as in the cascade. New frames are evenly spread
    between the times of their neighbours, so a variable frame rate stays one.

    Args:
        pipeline: a `Show1Pipeline`.
        source: any video file of two or more pictures.
        output: .mp4 or .webm.
        prompt, negative_prompt: what the video shows, and what it should not.
        seed: same seed, same file.
        size: (width, height) to work at, made even; the video's own where None. The stage is best at the size it was trained on.
        settings: in place of the pipeline's: `between`, `interpolation`, `num_keyframes` (one more than the pairs at a time) are read.
        on_frame: called after each picture of the source that is done.

    Raises:
        DataError: the source cannot be read or has one picture only, or the output cannot be written; nothing is left behind.
        SettingsError: a size or setting that cannot work.
    """
    chosen = settings or pipeline.settings
    if chosen.between < 1:
        raise SettingsError("between is 0: there is nothing to interpolate")
    check_clip_ending(Path(output))
    clip = Clip(source)
    target = even(*(size or (clip.width, clip.height)))
    device, dtype = pipeline._execution_device, pipeline.interpolation_unet.dtype
    sampler = Sampler(pipeline.interpolation_unet, pipeline.interpolation_scheduler, chosen.interpolation, device)

    def made() -> Iterator[Timed]:
        texts = pipeline.encode_prompt([check_prompt(prompt)], [check_prompt(negative_prompt)], max_text_tokens=chosen.max_text_tokens)
        text = Text(*(t.to(device, dtype) for t in texts))
        for group, is_last in _groups(_fitted(clip, target, multiple_of(sampler.network)), max(2, chosen.num_keyframes)):
            keyframes = torch.stack([picture for picture, _ in group], dim=2)
            video = sample_interpolation(sampler, text, keyframes, chosen.between, [seed])
            times = _between([time for _, time in group], chosen.between)
            count = len(times) if is_last else len(times) - 1  # where two groups meet, the later one's frame is kept
            pictures = as_pictures(video[0].transpose(0, 1), target)
            for index in range(count):
                yield pictures[index], times[index]
                if on_frame is not None and index % (chosen.between + 1) == 0:
                    on_frame()

    told = {"tool": "interpolate", "source": clip.path.name, "prompt": prompt, "seed": seed, "between": chosen.between}
    with evaluating(pipeline.components.values()):
        return write_clip(made(), output, clip, clip.fps * (chosen.between + 1), told)


def _fitted(clip: Clip, size: tuple[int, int], multiple: int) -> Iterator[Timed]:
    for picture, time in clip.pictures():
        yield fitted(picture, size, multiple), time


def _groups(frames: Iterator[Timed], length: int) -> Iterator[tuple[list[Timed], bool]]:
    """Groups of up to `length` frames, each starting on the one before's last, and whether it is the last group."""
    group = list(islice(frames, length))
    if len(group) < 2:
        raise DataError("the video has one picture only; there is nothing between to fill in")
    while True:
        following = list(islice(frames, length - 1))
        yield group, not following
        if not following:
            return
        group = [group[-1], *following]


def _between(times: list[Fraction], between: int) -> list[Fraction]:
    """Times of the frames, with those of the new ones between."""
    steps = between + 1
    inner = [a + (b - a) * k / steps for a, b in pairwise(times) for k in range(steps)]
    return [*inner, times[-1]]
