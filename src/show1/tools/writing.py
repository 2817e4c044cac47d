"""Writing a video picture by picture, each at its own time, with the sound of the clip that it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from show1.errors import DataError, SettingsError
from show1.tools.clips import Clip
from show1.video import ENCODERS, to_uint8, whole_file

TICKS = 90_000
"""Units of time a second; it divides the usual rates, 30000/1001 included."""
KEPT_AUDIO = {".mp4": ("aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"), ".webm": ("opus", "vorbis")}
"""Sound that goes into a container as it is."""
MADE_AUDIO = {".mp4": "aac", ".webm": "libopus"}
"""What other sound is encoded as."""
OPUS_RATE = 48_000


def check_clip_ending(path: Path) -> None:
    """Raise SettingsError where a file's ending names no format that pictures can be streamed to."""
    if path.suffix.lower() not in ENCODERS:
        raise SettingsError(f"cannot write '{path.name}': the ending '{path.suffix}' is not one of {', '.join(ENCODERS)}")


def write_clip(
    pictures: Iterable[tuple[Tensor, Fraction]],
    output: str | os.PathLike[str],
    source: Clip,
    fps: Fraction,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write pictures [H, W, 3], 8 bit, with their times in seconds, as .mp4 (H.264) or .webm (VP9), with the source's sound.

    Args:
        pictures: all of one size, with even sides; times grow.
        output: the file; it appears when it is whole.
        source: the clip whose sound and shape of pixels are kept.
        fps: usual frames a second.
        metadata: kept as JSON in the file's comment.

    Raises:
        SettingsError: an ending or a size that cannot be written.
        DataError: the file cannot be written.
    """
    output = Path(output)
    check_clip_ending(output)
    with whole_file(output) as partial, _container(partial) as container:
        container.metadata["comment"] = json.dumps(dict(metadata or {}), ensure_ascii=False)
        codec, options = ENCODERS[output.suffix.lower()]
        stream = container.add_stream(codec, rate=fps.limit_denominator(1001), options=options)
        sound = _Sound(source, container, output.suffix.lower())
        for picture, time in pictures:
            if not stream.codec_context.is_open:
                _shape(stream, picture, source)
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            sound.mux_until(time)
        container.mux(stream.encode())
        sound.mux_until(None)
    return output


@contextmanager
def _container(path: Path) -> Iterator[Any]:
    try:
        with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
            yield container
    except av.FFmpegError as error:
        raise DataError(f"cannot write the video: {error.strerror or error}") from error


def _shape(stream: Any, picture: Tensor, source: Clip) -> None:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        raise SettingsError(f"a video needs an even width and height (yuv420p), not {width}x{height}")
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS)
    stream.codec_context.sample_aspect_ratio = source.pixel_shape


class _Sound:
    """The source's sound, read as far as the pictures have come, so that little of it waits in memory."""

    def __init__(self, source: Clip, container: Any, ending: str) -> None:
        self.source, self.container = source, container
        self.packets: Iterator[tuple[Any, Fraction]] = iter(())
        self.waiting: tuple[Any, Fraction] | None = None
        if not source.has_audio:
            return
        self.input = source.open()
        stream = self.input.streams.audio[0]
        if stream.codec_context.name in KEPT_AUDIO[ending]:
            self.out = container.add_stream_from_template(stream)
            self.packets = self._copied(stream)
        else:
            rate = OPUS_RATE if ending == ".webm" else stream.rate
            self.out = container.add_stream(MADE_AUDIO[ending], rate=rate, layout=stream.layout.name)
            self.packets = self._encoded(stream)

    def mux_until(self, time: Fraction | None) -> None:
        """Write what is heard before a time; everything that is left for None."""
        try:
            self.waiting = self.waiting or next(self.packets, None)
            while self.waiting is not None and (time is None or self.waiting[1] <= time):
                self.container.mux(self.waiting[0])
                self.waiting = next(self.packets, None)
        except av.FFmpegError as error:
            raise DataError(f"the sound of '{self.source.path}' cannot be kept: {error.strerror or error}") from error

    def _copied(self, stream: Any) -> Iterator[tuple[Any, Fraction]]:
        shift = round(self.source.start / stream.time_base)
        with self.input:
            for packet in self.input.demux(stream):
                if packet.dts is None:
                    continue  # the empty packet at the end
                heard = packet.dts * packet.time_base - self.source.start
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, self.out
                yield packet, heard

    def _encoded(self, stream: Any) -> Iterator[tuple[Any, Fraction]]:
        context = self.out.codec_context
        context.open()
        resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.rate, frame_size=context.frame_size)
        heard = Fraction(0)
        with self.input:
            for frame in chain(self.input.decode(stream), [None]):
                for part in resampler.resample(frame):
                    for packet in self.out.encode(part):
                        heard = packet.dts * packet.time_base
                        yield packet, heard
            for packet in self.out.encode(None):
                yield packet, heard


def as_pictures(video: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames [N, 3, H, W] in [-1, 1] -> 8-bit pictures [N, h, w, 3], cut to `size` (width, height) from the upper left."""
    return to_uint8(video.transpose(0, 1))[:, : size[1], : size[0]]
