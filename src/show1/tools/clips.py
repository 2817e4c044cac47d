"""A user's video, picture by picture: upright, in colour, each with its time; refused clearly where that cannot be.

Times are seconds from the beginning of the file, as exact fractions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from show1.errors import DataError

USUAL_RATE = Fraction(25)
"""Frames a second where a file names no rate (a single picture)."""


class Clip:
    """A video file. Nothing but the first picture is read before `pictures` is asked for the others.

    Raises:
        DataError: no such file, no video in it, or no picture in the video.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"there is no file '{self.path}'")
        with self.open() as container:
            if not container.streams.video:
                raise DataError(f"'{self.path}' holds no video")
            stream = container.streams.video[0]
            self.fps = Fraction(stream.average_rate or stream.guessed_rate or USUAL_RATE)
            self.count = stream.frames
            """Number of pictures, as far as the file says; 0 where it does not."""
            self.has_audio = bool(container.streams.audio)
            self.start = Fraction(container.start_time or 0, av.time_base)
            pixel_shape = stream.sample_aspect_ratio or Fraction(1)
        first = next(self._decoded(), None)
        if first is None:
            raise DataError(f"'{self.path}' holds no pictures")
        self.height, self.width = first[0].shape[:2]
        turned = first[2] % 180 != 0
        self.pixel_shape = Fraction(pixel_shape) if not turned else 1 / Fraction(pixel_shape)
        """Width of a pixel by its height."""

    def open(self) -> Any:
        """The file, opened anew.

        Raises:
            DataError: it is no media file.
        """
        try:
            return av.open(str(self.path))
        except (OSError, av.FFmpegError) as error:
            raise DataError(f"cannot read '{self.path}' as a video: {error.strerror or error}") from error

    def pictures(self) -> Iterator[tuple[Tensor, Fraction]]:
        """Every picture [H, W, 3], 8 bit, with its time; times grow.

        Raises:
            DataError: the file is damaged further on; the time is named.
        """
        for picture, time, _ in self._decoded():
            yield torch.from_numpy(picture), time

    def _decoded(self) -> Iterator[tuple[np.ndarray, Fraction, int]]:
        time, size = None, None
        with self.open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                for frame in container.decode(stream):
                    told = None if frame.pts is None else frame.pts * frame.time_base - self.start
                    if time is not None and (told is None or told <= time):
                        told = time + 1 / self.fps
                    time = told if told is not None else Fraction(0)
                    size = size or (frame.width, frame.height)
                    yield _upright(frame, size), time, frame.rotation
            except (OSError, av.FFmpegError) as error:
                where = "at its beginning" if time is None else f"after {float(time):.2f} s"
                raise DataError(f"'{self.path}' is damaged {where}: {error.strerror or error}") from error


def _upright(frame: Any, size: tuple[int, int]) -> np.ndarray:
    """A frame's colours [H, W, 3], turned as its camera was; white shows through transparent parts."""
    if any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8":
        pixels = frame.reformat(*size, format="rgba").to_ndarray().astype(np.float32)
        alpha = pixels[..., 3:] / 255
        colours = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    else:
        colours = frame.reformat(*size, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(colours, round(frame.rotation / 90)))
