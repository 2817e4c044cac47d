"""Small video files of the kinds that people have."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def picture(index: int, width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue with time: every picture and every corner is told apart."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([red, green, np.full((height, width), min(255, 20 * index))], axis=-1).astype(np.uint8)


def write(
    path: Path,
    frames: int = 5,
    size: tuple[int, int] = (24, 16),
    times: Sequence[Fraction] | None = None,
    audio: str | None = None,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    fps: Fraction = Fraction(8),
) -> Path:
    """A clip, with half a second more of sound than of pictures where an audio codec is named."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 9000)
        sound: Any = container.add_stream(audio, rate=48000, layout="mono") if audio else None
        container.start_encoding()
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts, frame.time_base = round((times[index] if times else index / fps) * 9000), Fraction(1, 9000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            samples = (np.sin(np.arange(int(48000 * (frames / fps + 0.5))) / 20) * 9000).astype(np.int16)
            wave = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            wave.rate, wave.pts = 48000, 0
            resampler = av.AudioResampler(format=sound.format, layout="mono", rate=48000, frame_size=sound.codec_context.frame_size or 1024)
            for frame in [*resampler.resample(wave), *resampler.resample(None)]:
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


def turn(path: Path) -> Path:
    """Mark an .mp4 as taken with the camera turned: shown a quarter turn clockwise."""
    one, end = (1 << 16).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    zero, minus = bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True)
    data = path.read_bytes()
    header = data.index(b"tkhd")
    start = data.index(one + zero * 3 + one + zero * 3 + end, header)
    path.write_bytes(data[:start] + zero + one + zero + minus + zero * 4 + end + data[start + 36 :])
    return path


def read(path: Path) -> tuple[list[float], np.ndarray]:
    """Times and pictures of a file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(frame.time) for frame in frames], np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def sound(path: Path) -> tuple[str, bytes, float]:
    """Codec, packets and seconds of a file's sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
        last = packets[-1]
        return stream.codec_context.name, b"".join(bytes(p) for p in packets), float((last.pts + last.duration) * last.time_base)
