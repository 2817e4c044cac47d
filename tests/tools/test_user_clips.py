"""Real clips: odd sizes and rates, rotation, transparency, sound, damage, nothing at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clips
from show1.errors import DataError, SettingsError
from show1.tools.clips import Clip
from show1.tools.sizes import usual_scale
from show1.tools.writing import write_clip
from show1.video import read_metadata


def pictures(path: Path) -> np.ndarray:
    return np.stack([picture.numpy() for picture, _ in Clip(path).pictures()])


def test_pictures_come_with_their_times(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 8), Fraction(1, 2), Fraction(2, 3), Fraction(5)]
    clip = Clip(clips.write(tmp_path / "v.mp4", times=times))
    assert (clip.width, clip.height, clip.has_audio) == (24, 16, False)
    read = list(clip.pictures())
    assert [float(time) for _, time in read] == pytest.approx([float(t) for t in times], abs=1e-3)
    assert abs(read[4][0].numpy().astype(int) - clips.picture(4, 24, 16)).mean() < 4


def test_without_a_size_a_clip_comes_to_the_models_own_pixels_and_twice_as_large_at_least() -> None:
    assert usual_scale((128, 80), (576, 320)) == pytest.approx((576 * 320 / (128 * 80)) ** 0.5)
    assert usual_scale((1920, 1080), (576, 320)) == 2 and usual_scale((2, 2), (576, 320)) == 16


def test_an_odd_size_is_read(tmp_path: Path) -> None:
    assert pictures(clips.write(tmp_path / "v.mkv", size=(25, 17), codec="ffv1", pixels="bgr0")).shape == (5, 17, 25, 3)


def test_a_turned_clip_is_set_upright(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "v.mp4")
    straight = pictures(path)
    turned = clips.turn(path)  # the same file: x264 may code the same pictures otherwise a second time
    assert (Clip(turned).width, Clip(turned).height) == (16, 24)
    assert np.array_equal(pictures(turned), np.rot90(straight, -1, axes=(1, 2)))


def test_white_shows_through_transparent_parts(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    for name in ("v.png", "v.gif"):
        image.save(tmp_path / name)
        first = pictures(tmp_path / name)[0]
        assert first[0, 0].tolist() == [255, 255, 255] and first[0, 7].tolist() == [255, 0, 0], name


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        Clip(tmp_path / "nowhere.mp4")
    with pytest.raises(DataError, match="no file"):
        Clip(tmp_path)
    for name, data in (("text.mp4", b"no video at all"), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="cannot read"):
            Clip(tmp_path / name)
    with pytest.raises(DataError, match="holds no video"):
        Clip(only_sound(tmp_path / "sound.wav"))
    with pytest.raises(DataError, match=r"holds no pictures|End of file"):
        Clip(clips.write(tmp_path / "none.mkv", frames=0))


def only_sound(path: Path) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1000))
    return path


def test_a_clip_that_breaks_off_is_refused_with_the_time(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "v.mkv", frames=40, codec="ffv1", pixels="bgr0")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged after \d"):
        list(Clip(path).pictures())


@pytest.mark.parametrize(
    ("codec", "source", "ending", "kept"),
    [
        ("aac", ".mp4", ".mp4", "aac"),
        ("pcm_s16le", ".mov", ".mp4", None),
        ("libopus", ".mkv", ".webm", "opus"),
        ("aac", ".mp4", ".webm", None),
    ],
)
def test_sound_is_kept(tmp_path: Path, codec: str, source: str, ending: str, kept: str | None) -> None:
    clip = Clip(clips.write(tmp_path / f"v{source}", audio=codec))
    path = write_clip(clip.pictures(), tmp_path / f"w{ending}", clip, clip.fps)
    before, after = clips.sound(clip.path), clips.sound(path)
    assert after[2] == pytest.approx(before[2], abs=0.05)
    if kept:
        assert after[:2] == (before[0], before[1]) and after[0] == kept


def test_times_size_and_metadata_are_written(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 8), Fraction(1, 2), Fraction(2, 3), Fraction(2)]
    clip = Clip(clips.write(tmp_path / "v.mp4", times=times, audio="aac"))
    path = write_clip(clip.pictures(), tmp_path / "w.mp4", clip, clip.fps, {"prompt": "火箭"})
    told, made = clips.read(path)
    assert told == pytest.approx([float(t) for t in times], abs=1e-3) and made.shape == (5, 16, 24, 3)
    assert read_metadata(path) == {"prompt": "火箭"}


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    clip = Clip(clips.write(tmp_path / "v.mkv", size=(25, 17), codec="ffv1", pixels="bgr0"))
    for name, text in (("w.gif", r"\.gif"), ("w.mp4", "25x17")):
        with pytest.raises(SettingsError, match=text):
            write_clip(clip.pictures(), tmp_path / name, clip, clip.fps)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mkv"]
