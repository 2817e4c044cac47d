"""Frames of files as people have them: upright, at the moments asked for, cut evenly to one field of view."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from making_clips import shade, write_broken, write_clip, write_sound
from show1.data.decoding import read_facts, read_frames, read_seconds
from show1.data.problems import UnusableError
from show1.video import write_video

FIELD = (72, 40)


def greys(frames: np.ndarray) -> list[int]:
    """The grey of each frame's lower right quarter."""
    return [int(frame[-10:, -10:].mean().round()) for frame in frames]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm"])
def test_each_moment_gets_the_frame_that_is_shown_then(tmp_path: Path, name: str) -> None:
    data = write_clip(tmp_path / name).read_bytes()
    moments = [0.0, 0.1, 0.15, 0.19, 2.0, 3.9]
    shown = [0.0, 0.1, 0.1, 0.1, 2.0, 3.9]
    assert greys(read_frames(data, moments, FIELD)) == pytest.approx([shade(m / 4) for m in shown], abs=2)


def test_moments_far_into_a_clip_are_sought_and_come_out_the_same(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mp4").read_bytes()
    everything = read_frames(data, [i / 10 for i in range(40)], FIELD)
    for first in (11, 25, 39):
        assert np.array_equal(read_frames(data, [first / 10], FIELD)[0], everything[first])


def test_moments_come_back_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mp4").read_bytes()
    there, back = read_frames(data, [1.0, 2.0, 2.0], FIELD), read_frames(data, [2.0, 1.0, 1.0], FIELD)
    assert np.array_equal(there[[1, 0]], back[:2]) and np.array_equal(there[1], there[2])


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.1, 1.5, 1.55, 3.0, 3.9]
    data = write_clip(tmp_path / "clip.mp4", times=times).read_bytes()
    have = greys(read_frames(data, [0.07, 1.4, 1.52, 2.9, 3.0], FIELD))
    assert have == pytest.approx([shade(t / 4) for t in (0.05, 0.1, 1.5, 1.55, 3.0)], abs=2)
    assert read_facts(data).frames == 7


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_pictures_are_turned_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    data = write_clip(tmp_path / "clip.mp4", size=(72, 40), rotation=rotation, seconds=0.5).read_bytes()
    facts = read_facts(data)
    upright = (72, 40) if rotation == 180 else (40, 72)
    assert (facts.width, facts.height) == upright
    frame = read_frames(data, [0.0], upright)[0]
    red = frame[..., 0].astype(int) - frame[..., 1] > 100
    assert red[corner] and red.mean() == pytest.approx(0.25, abs=0.03)


def test_what_is_too_wide_or_too_high_is_cut_evenly(tmp_path: Path) -> None:
    for size in ((144, 40), (72, 80)):
        frame = read_frames(write_clip(tmp_path / "clip.mp4", size=size, seconds=0.2).read_bytes(), [0.0], FIELD)[0]
        red = frame[..., 0].astype(int) - frame[..., 1] > 100
        assert frame.shape == (40, 72, 3) and red[0, 0] and not red[0, 40:].any() and not red[24:].any()
        assert red.mean() == pytest.approx(0.25, abs=0.03)


def test_odd_sizes_and_pixels_that_are_not_square(tmp_path: Path) -> None:
    odd = write_clip(tmp_path / "odd.mp4", size=(71, 43), seconds=0.3).read_bytes()
    assert read_frames(odd, [0.0, 0.1], (57, 33)).shape == (2, 33, 57, 3)
    wide = write_clip(tmp_path / "wide.mp4", size=(72, 40), aspect=Fraction(2), seconds=0.3).read_bytes()
    assert (read_facts(wide).width, read_facts(wide).height) == (144, 40)


def test_one_frame_is_a_picture_and_no_clip(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mp4", times=[0.0]).read_bytes()
    assert read_facts(data).frames == 1
    assert np.array_equal(read_frames(data, [3.0], FIELD, hold=True), read_frames(data, [0.0], FIELD))
    with pytest.raises(UnusableError, match="too short"):
        read_frames(data, [0.0, 1.0], FIELD)


def test_a_file_of_29_frames_serves_the_whole_of_its_28_intervals(tmp_path: Path) -> None:
    import torch

    path = write_video(torch.zeros(3, 29, 40, 72), tmp_path / "clip.mp4", 7.5)
    assert read_frames(path.read_bytes(), [i / 7.5 for i in range(29)], FIELD).shape[0] == 29
    assert read_seconds(path.read_bytes()) == pytest.approx(29 / 7.5, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("empty", "unreadable"), ("text", "unreadable"), ("cut", "unreadable"), ("sound", "no video"), ("cut webm", "too short")],
)
def test_what_cannot_be_decoded_says_why(tmp_path: Path, kind: str, reason: str) -> None:
    made = {
        "empty": lambda: b"",
        "text": lambda: b"<html>404 Not Found</html>" * 50,
        "cut": lambda: write_broken(tmp_path / "a.mp4").read_bytes(),
        "sound": lambda: write_sound(tmp_path / "a.mp4").read_bytes(),
        "cut webm": lambda: write_broken(tmp_path / "a.webm").read_bytes(),
    }
    with pytest.raises(UnusableError) as caught:
        read_frames(made[kind](), [0.0, 3.8], FIELD)
    assert caught.value.reason == reason


def test_damage_in_the_middle_never_ends_in_another_error(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mp4").read_bytes()
    chance = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(whole)
        for place in chance.integers(0, len(data), 30):
            data[place] = int(chance.integers(256))
        try:
            read_facts(bytes(data))
            read_frames(bytes(data), [0.0, 1.0], FIELD)
        except UnusableError:
            continue
        except av.FFmpegError as error:
            pytest.fail(str(error))
