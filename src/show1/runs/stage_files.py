"""A finished stage's video in a file, without loss: what is read back is bit for bit what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from show1.errors import DataError
from show1.video import to_uint8, whole_file

PICTURES = ("latent",)
"""Stages that nothing reads but the video's encoder: their 8-bit pictures are kept, a tenth of the numbers' size."""


def stage_file(stage: str) -> str:
    """Name of a stage's file within a run's folder."""
    return f"{stage}.mkv" if stage in PICTURES else f"{stage}.safetensors"


def write_stage(path: Path, video: Tensor, fps: float) -> None:
    """Write one video [3, F, H, W]: its numbers (.safetensors), or its 8-bit pictures (.mkv, FFV1, which players show).

    Raises:
        DataError: the file cannot be written; nothing is left behind.
    """
    with whole_file(path) as partial:
        if path.suffix == ".mkv":
            _write_pictures(partial, to_uint8(video), fps)
        else:
            save_file({"video": video.detach().cpu().contiguous()}, partial)


def read_stage(path: Path) -> Tensor:
    """The numbers [3, F, H, W] as they were written.

    Raises:
        DataError: missing or damaged.
    """
    try:
        # From bytes: in the library's own reading, Ctrl-C can come out as another error.
        # Copied: a file's tensors lie unaligned in memory, which changes the last bits of what kernels compute.
        return load(path.read_bytes())["video"].clone()
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"cannot read the finished stage '{path}': {error}") from error


def read_pictures(path: Path) -> Tensor:
    """8-bit pictures [F, H, W, 3] of either kind of file.

    Raises:
        DataError: missing or damaged.
    """
    if path.suffix == ".safetensors":
        return to_uint8(read_stage(path))
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (OSError, av.FFmpegError) as error:
        raise DataError(f"cannot read the finished stage '{path}': {error}") from error
    return torch.from_numpy(np.stack(frames))


def _write_pictures(path: Path, frames: Tensor, fps: float) -> None:
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("ffv1", rate=Fraction(fps).limit_denominator(1001), options={"threads": "2"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")))
        container.mux(stream.encode())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the file that a manifest's entry names is there, bit for bit."""
    path = folder / entry["file"]
    return path.is_file() and path.stat().st_size == entry["bytes"] and digest(path) == entry["sha256"]


def file_entry(path: Path) -> dict[str, Any]:
    """What a manifest records of a file."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest(path)}
