"""Small video files of every kind that people have, made with PyAV."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def shade(share: float) -> int:
    """Grey of a frame that lies at a share of a clip."""
    return round(30 + 200 * share)


def write_clip(
    path: Path,
    *,
    size: tuple[int, int] = (72, 40),
    seconds: float = 4.0,
    fps: int = 10,
    times: list[float] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    hue: int | None = None,
) -> Path:
    """A clip that grows from dark to light; its upper left quarter is red, so that turning and cutting show.

    `times` (seconds) gives a variable frame rate; `rotation` is the angle that players turn the picture back by.
    """
    width, height = size
    moments = [i / fps for i in range(round(seconds * fps))] if times is None else times
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    options = {"deadline": "realtime", "cpu-used": "8"} if path.suffix == ".webm" else {"preset": "ultrafast", "crf": "10", "g": "8"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for moment in moments:
            pixels = np.full((height, width, 3), shade(moment / seconds) if hue is None else hue, np.uint8)
            pixels[: height // 2, : width // 2] = (220, 20, 20)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(moment * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100, layout="mono")
        for _ in range(round(seconds * 44100 / 1024)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_broken(path: Path, *, keep: float = 0.5) -> Path:
    """A clip that was cut off while it was copied."""
    whole = write_clip(path.with_name("whole" + path.suffix)).read_bytes()
    path.with_name("whole" + path.suffix).unlink()
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


def write_vae(folder: Path) -> Path:
    """A tiny VAE whose latents are of 8 x 8 pixels, so that whole pictures are encoded in no time."""
    import torch
    from diffusers import AutoencoderKL

    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
        AutoencoderKL(block_out_channels=[4] * 4, norm_num_groups=2, layers_per_block=1, **blocks).save_pretrained(folder)
    return folder


def captioned(folder: Path, count: int, **options: Any) -> Path:
    """A folder of clips with captions beside them; clip i is of grey 8 * i + 20."""
    for i in range(count):
        write_clip(folder / f"{i:03d}.mp4", hue=8 * i + 20, **options)
        (folder / f"{i:03d}.txt").write_text(f"clip number {i}")
    return folder
