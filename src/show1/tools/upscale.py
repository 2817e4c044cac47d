"""`show1 upscale`: expert translation of any low-resolution video (Show-1, section 3.5), window by window."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from show1.cascade.call import evaluating
from show1.cascade.latent_stream import Translation
from show1.cascade.settings import CascadeSettings
from show1.cascade.stage import Sampler, Text
from show1.errors import SettingsError
from show1.text import check_prompt
from show1.tools.clips import Clip
from show1.tools.sizes import LARGEST_SCALE, even, fitted, multiple_of, usual_scale
from show1.tools.writing import as_pictures, check_clip_ending, write_clip


@torch.no_grad()
def upscale_clip(
    pipeline: Any,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    prompt: str = "",
    negative_prompt: str | None = None,
    seed: int = 0,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    settings: CascadeSettings | None = None,
    on_frame: Callable[[], object] | None = None,
) -> Path:
    """Bring a video of any length to a larger size with the latent stage. Times and sound stay as they are.

    Args:
        pipeline: a `Show1Pipeline`.
        source: any video file.
        output: .mp4 or .webm.
        prompt: what the video shows; it helps the stage to draw what it should.
        negative_prompt: what to avoid; the settings' where None.
        seed: same seed, same file.
        scale: how many times as wide and high; where None, about as many pixels as the model's own videos have, and twice at least.
        size: (width, height) in place of `scale`, made even.
        settings: in place of the pipeline's: `latent`, `latent_window` and `latent_overlap` are read. Memory grows with
            `latent_window` and with the size, not with the length.
        on_frame: called after each finished picture.

    Raises:
        DataError: the source cannot be read, or the output not written; nothing is left behind.
        SettingsError: a size or setting that cannot work.
    """
    chosen = settings or pipeline.settings
    if chosen.latent.steps_run() < 1:
        raise SettingsError(
            f"latent: {chosen.latent.steps} steps at strength {chosen.latent.strength} leave no step to run; raise one of them"
        )
    if size is None and scale is not None and not 0.1 <= scale <= LARGEST_SCALE:
        raise SettingsError(f"scale is {scale}; use 0.1 to {LARGEST_SCALE}")
    check_clip_ending(Path(output))
    clip = Clip(source)
    if scale is None:
        scale = usual_scale((clip.width, clip.height), chosen.final_size)
    target = even(*(size or (clip.width * scale, clip.height * scale)))
    avoided = chosen.latent_negative_prompt if negative_prompt is None else negative_prompt
    times: deque[Fraction] = deque()

    def low() -> Iterator[Tensor]:
        for picture, time in clip.pictures():
            times.append(time)
            yield fitted(picture, target, multiple_of(pipeline.vae))

    def high() -> Iterator[tuple[Tensor, Fraction]]:
        text = Text(*(t.to(device, dtype) for t in pipeline.encode_latent_prompt([check_prompt(prompt)], [check_prompt(avoided)])))
        sampler = Sampler(pipeline.latent_unet, pipeline.latent_scheduler, chosen.latent, device)
        translate = Translation(sampler, pipeline.vae, text, seed, chosen.latent_window, chosen.latent_overlap)
        for frame in translate(low()):
            yield as_pictures(frame, target)[0], times.popleft()
            if on_frame is not None:
                on_frame()

    device, dtype = pipeline._execution_device, pipeline.latent_unet.dtype
    told = {"tool": "upscale", "source": clip.path.name, "prompt": prompt, "seed": seed, "latent": chosen.to_dict()["latent"]}
    with evaluating(pipeline.components.values()):
        return write_clip(high(), output, clip, clip.fps, told)
