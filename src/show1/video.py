"""Videos between tensors, pictures and files. Files are written with PyAV and Pillow, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from PIL import Image
from torch import Tensor

from show1.errors import DataError, SettingsError

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # A fixed number of threads, for the bytes depend on it, and no macroblock tree (x264's comes out differently from run to run with AVX-512):
    # the same frames always give the same bytes.
    ".mp4": ("libx264", {"crf": "16", "preset": "medium", "threads": "2", "mbtree": "0"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b:v": "0", "threads": "1"}),
}
ENDINGS = (*ENCODERS, ".gif")


def to_uint8(video: Tensor) -> Tensor:
    """[..., 3, F, H, W] in [-1, 1] -> [..., F, H, W, 3] 8-bit on the CPU; clamped and truncated, not rounded (as published)."""
    unit = (video.detach().float() * 0.5 + 0.5).clamp(0, 1)
    return (unit * 255).to(torch.uint8).movedim(-4, -1).contiguous().cpu()


def from_uint8(frames: Tensor) -> Tensor:
    """[..., F, H, W, 3] 8-bit -> [..., 3, F, H, W] float32 in [-1, 1]."""
    return (frames.float() / 255).movedim(-1, -4) * 2 - 1


def to_pil(video: Tensor) -> list[Image.Image]:
    """One video [3, F, H, W] in [-1, 1] -> its frames as pictures."""
    return [Image.fromarray(frame.numpy()) for frame in to_uint8(video)]


def contact_sheet(rows: list[list[Image.Image]], gap: int = 4) -> Image.Image:
    """Pictures in rows on one white picture; every cell is as large as the largest picture."""
    width = max(p.width for row in rows for p in row)
    height = max(p.height for row in rows for p in row)
    sheet = Image.new("RGB", (max(len(r) for r in rows) * (width + gap) - gap, len(rows) * (height + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x * (width + gap), y * (height + gap)))
    return sheet


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """A picture from a file, fully read.

    Raises:
        DataError: missing, no picture, damaged, or too large to be one.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read '{path}' as a picture: {error}") from error


def check_ending(path: Path) -> None:
    """Raise SettingsError where a file's ending names no format that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise SettingsError(f"cannot write '{path.name}': the ending '{path.suffix}' is not one of {', '.join(ENDINGS)}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place on success and vanishes otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:32]}-", suffix=path.suffix)
    except OSError as error:
        raise DataError(f"cannot write '{path}': {error.strerror or error}") from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_video(video: Tensor, path: str | os.PathLike[str], fps: float, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write one video as .mp4 (H.264, yuv420p), .webm (VP9) or .gif, by the ending.

    Args:
        video: [3, F, H, W] in [-1, 1].
        path: the file; folders are made.
        fps: frames a second, kept exactly (7.5 stays 7.5).
        metadata: kept as JSON in the file's comment; its `prompt`, where there is one, is also the title.

    Raises:
        SettingsError: an ending that names no known format.
        DataError: the file cannot be written (folder missing or not writable, disk full); nothing is left behind.
    """
    return write_frames(to_uint8(video), path, fps, metadata)


def write_frames(frames: Tensor, path: str | os.PathLike[str], fps: float, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write 8-bit pictures [F, H, W, 3] as `write_video` does."""
    path = Path(path)
    check_ending(path)
    comment = json.dumps(dict(metadata or {}), ensure_ascii=False)
    with whole_file(path) as partial:
        if path.suffix.lower() == ".gif":
            _write_gif(frames, partial, fps, comment)
        else:
            _encode(frames, partial, fps, {"comment": comment, "title": str((metadata or {}).get("prompt", ""))})
    return path


def _encode(frames: Tensor, path: Path, fps: float, tags: dict[str, str]) -> None:
    codec, options = ENCODERS[path.suffix.lower()]
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise SettingsError(f"{path.suffix} needs an even width and height (yuv420p), not {width}x{height}; use .gif or another size")
    # bitexact: no random ids and no library versions in the file
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        container.metadata.update(tags)
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")))
        container.mux(stream.encode())


def _write_gif(frames: Tensor, path: Path, fps: float, comment: str) -> None:
    pictures = [Image.fromarray(frame.numpy()) for frame in frames]
    # GIF counts in hundredths of a second: spread the rounding so that the whole lasts as long as it should.
    ends = [round((i + 1) * 100 / fps) * 10 for i in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, comment=comment.encode())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `write_video` put into a file; empty where there is none.

    Raises:
        DataError: no such file, or no video or picture in it.
    """
    try:
        if Path(path).suffix.lower() == ".gif":
            with Image.open(path) as picture:
                comment = picture.info.get("comment", b"{}").decode()
        else:
            with av.open(str(path)) as container:
                tags = {key.lower(): value for key, value in container.metadata.items()}
                comment = tags.get("comment", "{}")
    except (OSError, av.FFmpegError) as error:
        raise DataError(f"cannot read '{path}': {error}") from error
    try:
        values = json.loads(comment)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
