"""`show1 upscale` and `show1 interpolate`: single stages at work on a user's own videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from show1.cli import options
from show1.cli.common import for_people, load_model, out, quiet_libraries
from show1.errors import SettingsError


@for_people
def upscale(
    source: Annotated[Path, typer.Argument(help="Any video of low resolution, of any length.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The video file: .mp4 or .webm.")] = None,
    prompt: Annotated[str, typer.Option(help="What the video shows; it helps to draw what should be there.")] = "",
    negative_prompt: options.Negative = None,
    scale: Annotated[
        float | None, typer.Option(help="How many times as wide and high; to the size of the model's own videos, and twice at least.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Width and height in place of --scale, such as 576x320.")] = None,
    seed: options.Seed = 0,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    strength: Annotated[float | None, typer.Option(help="How much is drawn anew, above 0 to 1.")] = None,
    window: Annotated[int | None, typer.Option(min=2, help="Frames at a time; fewer take less memory.")] = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Bring a low-resolution video of any length to a larger size with the latent stage. Its sound is kept."""
    wanted = _size(size)
    place = output or source.with_name(f"{source.stem}-upscaled.mp4")
    quiet_libraries()
    from show1.tools.clips import Clip
    from show1.tools.upscale import upscale_clip

    count = Clip(source).count
    pipeline = load_model(model, device, dtype)
    given = {"steps": steps, "guidance": guidance, "strength": strength}
    latent = replace(pipeline.settings.latent, **{name: value for name, value in given.items() if value is not None})
    settings = replace(pipeline.settings, latent=latent)
    if window is not None:
        settings = replace(settings, latent_window=window, latent_overlap=max(1, min(settings.latent_overlap, window // 2)))
    asked: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed, "scale": scale, "size": wanted}
    with tqdm(total=count or None, desc="frames") as bar:
        upscale_clip(pipeline, source, place, **asked, settings=settings, on_frame=bar.update)
    out.print(str(place), soft_wrap=True, markup=False)


@for_people
def interpolate(
    source: Annotated[Path, typer.Argument(help="Any video of two or more pictures, of any length.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The video file: .mp4 or .webm.")] = None,
    between: Annotated[
        int | None, typer.Option(min=1, help="New frames between two; what the model was trained on where not given.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the video shows.")] = "",
    negative_prompt: Annotated[str, typer.Option(help="What the video should not show.")] = "",
    size: Annotated[str | None, typer.Option(help="Width and height to work at; the video's own where not given.")] = None,
    seed: options.Seed = 0,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Put new frames between those of a video with the interpolation stage. It lasts as long as before, with its sound."""
    wanted = _size(size)
    place = output or source.with_name(f"{source.stem}-interpolated.mp4")
    quiet_libraries()
    from show1.tools.clips import Clip
    from show1.tools.interpolate import interpolate_clip

    clip = Clip(source)
    pipeline = load_model(model, device, dtype)
    numbers = {name: None if value is None else {"interpolation": value} for name, value in {"steps": steps, "guidance": guidance}.items()}
    settings = pipeline.settings.with_samplers("steps", numbers["steps"]).with_samplers("guidance", numbers["guidance"])
    settings = settings if between is None else replace(settings, between=between)
    known, used = settings.keyframe_size, wanted or (clip.width, clip.height)
    if used[0] * used[1] > 4 * known[0] * known[1]:
        trained = f"{known[0]}x{known[1]}"
        out.print(
            f"note: the model was trained at {trained}; at {used[0]}x{used[1]} it is slow and less sure. --size {trained} works at its own size."
        )
    asked: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed, "size": wanted}
    with tqdm(total=clip.count or None, desc="frames") as bar:
        interpolate_clip(pipeline, source, place, **asked, settings=settings, on_frame=bar.update)
    out.print(str(place), soft_wrap=True, markup=False)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SettingsError(f"--size takes width and height such as 576x320; not '{text}'")
    return int(width), int(height)
