"""Options that several commands have, each with its one name and help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Prompt = Annotated[str, typer.Argument(help="What the video shows.")]
Negative = Annotated[str | None, typer.Option(help="What the video should not show.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
VideoSeed = Annotated[int | None, typer.Option(help="Same seed, same video. Random where not given.")]
Model = Annotated[str | None, typer.Option(help="A pipeline's folder or hub id, `bundled` (default) or `published`.")]
Adapters = Annotated[list[str] | None, typer.Option("--adapter", help="An adapter's folder, or FOLDER:WEIGHT; as often as you like.")]
StopAfter = Annotated[str, typer.Option(help="Last stage: keyframes, interpolation, pixel or latent.")]
StageSteps = Annotated[str | None, typer.Option(help="Denoising steps: 20, or keyframes=20,latent=8.")]
StageGuidance = Annotated[str | None, typer.Option(help="Guidance scale: 4, or keyframes=6,pixel=1.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps; the model's own where not given.")]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Frames of the video, such as 57; the model's own number where not given.")]
VideoFile = Annotated[Path, typer.Option("--output", "-o", help="The video file: .mp4, .webm or .gif.")]
RunFolder = Annotated[Path | None, typer.Option("--run", help="The run's folder; beside the output, named after it, where not given.")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; chosen by itself where not given.")]
Dtype = Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; what suits the device where not given.")]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Let torch compile the networks: for many videos of one size on a GPU; the first takes minutes longer."),
]
Memory = Annotated[str | None, typer.Option(help="Memory to stay within, such as 8GB: of this process, or of the GPU.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how it would run and what memory it would need.")]
Sprites = Annotated[Path | None, typer.Option(help="The emoji world's sprites, see `show1 data sprites`.")]
