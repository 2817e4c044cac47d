"""Frames of a video at wanted moments, upright, in one field of view: PyAV decodes, swscale scales.

A field is a size (width, height) in pixels that the picture covers; what is wider or higher is cut off evenly at both sides.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from show1.data.problems import UnusableError

LARGEST = 8192
"""Pixels a picture may be wide or high."""
EARLY = 1e-3
"""Seconds that a frame may come late and still count as the one of a moment."""
SEEK_FROM = 1.0
"""Seconds from which on seeking is worth it."""


@dataclass(frozen=True)
class VideoFacts:
    """What a file says of its pictures."""

    width: int
    """Pixels of an upright picture with square pixels."""
    height: int
    seconds: float
    """From the first frame to the end of the last."""
    frames: int
    """Frames decoded, 0 where they were not counted."""


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream; whatever goes wrong inside makes the clip unusable."""
    try:
        with av.open(io.BytesIO(data)) as container:
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise UnusableError("no video", "no stream of moving pictures")
            stream = streams[0]
            if stream.codec_context is None:
                raise UnusableError("unreadable", "pictures of an unknown kind")
            stream.codec_context.thread_count = 1  # clips are decoded side by side
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError, ZeroDivisionError) as error:
        raise UnusableError("unreadable", str(error)) from error


def _shape(stream: Any, rotation: int) -> tuple[int, int]:
    """(width, height) of upright pictures with square pixels."""
    width, height = stream.width, stream.height
    if width < 1 or height < 1:
        raise UnusableError("no frames", "pictures of no size")
    if max(width, height) > LARGEST:
        raise UnusableError("too large", f"{width}x{height}")
    wide = round(width * float(stream.sample_aspect_ratio or 1))
    return (height, wide) if rotation % 180 else (wide, height)


def _seconds(stream: Any, frame: Any) -> float:
    """When a frame is shown, from the stream's start."""
    if frame.pts is None:
        raise UnusableError("unreadable", "a frame without a time")
    return float((frame.pts - (stream.start_time or 0)) * frame.time_base)


def _frame_seconds(stream: Any) -> float:
    return float(1 / (stream.average_rate or stream.guessed_rate or Fraction(25)))


def read_facts(data: bytes) -> VideoFacts:
    """Decode a whole video and say what it holds.

    Raises:
        UnusableError: it cannot be decoded to its end, or shows nothing.
    """
    with _opened(data) as (container, stream):
        count, last, lasts, shape = 0, 0.0, _frame_seconds(stream), (0, 0)
        for frame in container.decode(stream):
            if count == 0:
                shape = _shape(stream, frame.rotation)
            count, last = count + 1, max(last, _seconds(stream, frame))
        if not count:
            raise UnusableError("no frames", "not one frame can be decoded")
        return VideoFacts(*shape, seconds=last + lasts, frames=count)


def read_seconds(data: bytes) -> float:
    """How long a video says it is, without decoding it; 0 where it does not say."""
    with _opened(data) as (container, stream):
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return float(container.duration or 0) / av.time_base


def read_frames(data: bytes, seconds: Sequence[float], field: tuple[int, int], *, hold: bool = False) -> np.ndarray:
    """The frames shown at some moments: 8-bit RGB [F, height, width, 3], each the newest frame of its moment.

    Args:
        data: the video file.
        seconds: from the video's first frame, in any order.
        field: (width, height) of the pictures that come back.
        hold: a moment after the end gets the last frame; otherwise the video is too short.

    Raises:
        UnusableError: it cannot be decoded, or ends too early.
    """
    wanted = sorted(set(seconds))
    with _opened(data) as (container, stream):
        shown = _shown(container, stream, wanted, field, hold)
        if shown is None:  # the file's index led to a place after the first moment
            container.seek(0)
            shown = _shown(container, stream, wanted, field, hold, seek=False)
    if not shown:
        raise UnusableError("no frames", "not one frame can be decoded")
    return np.stack([shown[moment] for moment in seconds])


def _shown(
    container: Any, stream: Any, wanted: list[float], field: tuple[int, int], hold: bool, *, seek: bool = True
) -> dict[float, np.ndarray] | None:
    """Moment -> picture; None where seeking went too far."""
    if seek and wanted[0] > SEEK_FROM:
        container.seek(int(wanted[0] / stream.time_base) + (stream.start_time or 0), stream=stream)
    waiting, current, at = list(wanted), None, 0.0
    shown: dict[float, np.ndarray] = {}
    for frame in container.decode(stream):
        at = _seconds(stream, frame)
        if current is None and at > wanted[0] + EARLY and seek and wanted[0] > SEEK_FROM:
            return None
        passed: list[float] = [] if current is None else [moment for moment in waiting if moment + EARLY < at]
        if passed:
            shown |= dict.fromkeys(passed, picture(stream, current, field))
            waiting = waiting[len(passed) :]
        current = frame
        if not waiting:
            return shown
    if current is None:
        return {} if not seek or wanted[0] <= SEEK_FROM else None
    # The last frame lasts as long as it says or as any other, and a little inexactness in files' times does no harm.
    end = at + max(1.5 * _frame_seconds(stream), float(current.duration * current.time_base))
    if waiting and waiting[-1] > end and not hold:
        raise UnusableError("too short", f"frames end at {at:.2f} s, {waiting[-1]:.2f} s is wanted")
    return shown | dict.fromkeys(waiting, picture(stream, current, field)) if waiting else shown


def picture(stream: Any, frame: Any, field: tuple[int, int]) -> np.ndarray:
    """A decoded frame, turned upright, scaled to cover the field and cut to it: 8-bit RGB [height, width, 3]."""
    rotation = int(frame.rotation)
    width, height = _shape(stream, rotation)
    scale = max(field[0] / width, field[1] / height)
    wide, high = max(field[0], math.ceil(width * scale - 1e-6)), max(field[1], math.ceil(height * scale - 1e-6))
    before = (high, wide) if rotation % 180 else (wide, high)
    method = "AREA" if scale < 1 else "BICUBIC"
    pixels = frame.reformat(width=before[0], height=before[1], format="rgb24", interpolation=method).to_ndarray()
    pixels = np.rot90(pixels, round(rotation / 90) % 4)
    top, left = (high - field[1]) // 2, (wide - field[0]) // 2
    return np.ascontiguousarray(pixels[top : top + field[1], left : left + field[0]])
