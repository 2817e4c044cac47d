"""Reading videos of any length and size, and the record of how well that works."""

from pathlib import Path

import pytest
import torch

from show1.errors import CheckpointError
from show1.evaluation.reference import STAGE_SIZES, Reference, load_recogniser
from show1.models.recogniser import READ_FRAMES, READ_SIZE, as_read, in_grey


def test_every_fourth_of_29_frames_is_read() -> None:
    video = torch.arange(29.0)[None, None, :, None, None].expand(1, 3, 29, *READ_SIZE)
    assert as_read(video)[0, 0, :, 0, 0].tolist() == [0, 4, 8, 12, 16, 20, 24, 28]


def test_a_keyframe_network_s_frames_are_all_read() -> None:
    video = torch.randn(2, 3, READ_FRAMES, *READ_SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_read(video), video)


@pytest.mark.parametrize("shape", [(1, 3, 1, 40, 64), (2, 3, 5, 37, 51), (1, 3, 29, 320, 576)])
def test_videos_of_any_size_are_read(recogniser_folder: Path, shape: tuple[int, ...]) -> None:
    recogniser = load_recogniser(recogniser_folder)
    with torch.no_grad():
        readings = recogniser.name(recogniser(torch.zeros(shape)))
    assert len(readings) == shape[0]
    assert all(reading[name] in values for reading in readings for name, values in recogniser.labels.items())


def test_the_record_comes_back_as_it_was_saved(recogniser_folder: Path) -> None:
    record = Reference.load(recogniser_folder)
    assert record.samples == 3 and set(record.right) == set(STAGE_SIZES)
    assert record.moments["latent"].shape == (7, 6)
    assert all(0 <= count <= 3 for counts in record.right.values() for count in counts.values())
    assert all(record.looks[stage]["drift"] == 0.0 for stage in STAGE_SIZES), "rendered backgrounds stand still"


def test_a_recogniser_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="evaluate recogniser"):
        Reference.load(tmp_path)


def test_an_empty_folder_is_no_recogniser(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_recogniser(tmp_path)


def test_a_grey_video_is_as_light_as_its_colours() -> None:
    video = torch.zeros(1, 3, 2, 4, 4)
    video[:, 0, 0], video[:, 1, 1] = 1.0, -1.0
    grey = in_grey(video)
    assert torch.allclose(grey[0, :, 0], torch.full((3, 4, 4), 0.299)) and torch.allclose(grey[0, :, 1], torch.full((3, 4, 4), -0.587))
    assert torch.allclose(in_grey(grey), grey)
