"""Every stage gives what the published one gave, to 1e-3, from the recorded output of the stage before."""

import pytest
import torch
from torch import Tensor

from recorded import Record
from show1.cascade.interpolation import sample_interpolation
from show1.cascade.keyframes import sample_keyframes
from show1.cascade.latent_upscale import sample_latent_upscale
from show1.cascade.pixel_upscale import sample_first_frame, sample_pixel_upscale
from show1.models import unet
from show1.video import to_uint8

TOLERANCE = 1e-3
SCALE = 4


def off_by(made: Tensor, recorded: Tensor) -> float:
    assert made.shape == recorded.shape
    return float((made - recorded).abs().max())


@torch.no_grad()
def test_keyframes(record: Record) -> None:
    size = (record.meta["width"], record.meta["height"])
    made = sample_keyframes(record.sampler("keyframes", "base"), record.text, record.meta["num_keyframes"], size, record.seeds)
    assert off_by(made, record["keyframes"]) < TOLERANCE


@torch.no_grad()
def test_interpolation(record: Record) -> None:
    made = sample_interpolation(record.sampler("interpolation", "interpolation"), record.text, record["keyframes"], 3, record.seeds)
    assert off_by(made, record["interpolated"]) < TOLERANCE


@torch.no_grad()
def test_first_frame(record: Record) -> None:
    sampler = record.sampler("first_frame", "sr1_image", noise_level=record.meta["noise_level"]["first_frame"])
    frame = record["interpolated"][:, :, :1]
    made = sample_first_frame(sampler, record.scheduler("image_noising"), record.text, frame, SCALE, record.seeds)
    assert off_by(made.squeeze(2), record["first_frame"]) < TOLERANCE


@pytest.mark.parametrize("large", [unet.LARGE, 0], ids=["published order", "channels last"])
@torch.no_grad()
def test_pixel_upscale(record: Record, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "LARGE", large)  # as on pictures of this stage's usual size
    meta = record.meta
    sampler = record.sampler("sr1", "sr1", noise_level=meta["noise_level"]["sr1"])
    first = record["first_frame"].unsqueeze(2)
    windows = (SCALE, meta["window"], meta["stride"], record.seeds)
    made = sample_pixel_upscale(sampler, record.scheduler("image_noising"), record.text, record["interpolated"], first, *windows)
    covered = meta.get("sr1_frames_covered", made.shape[2])  # the published script left the frames after these grey
    assert off_by(made[:, :, :covered], record["sr1"][:, :, :covered]) < TOLERANCE
    assert all(made[:, :, frame].std() > 0.01 for frame in range(made.shape[2]))


def test_frames_become_8_bit_pictures_as_published(record: Record) -> None:
    assert torch.equal(to_uint8(record["sr1"][0]), record["sr1_uint8"])


@torch.no_grad()
def test_latent_upscale(record: Record) -> None:
    sampler = record.sampler("sr2", "sr2", strength=record.meta["strength"])
    video = ((record["sr1_uint8"][None].float() + 0.5) / 255 * 2 - 1).movedim(-1, -4)
    height, width = record.meta["sr2_size"]
    made = sample_latent_upscale(sampler, record.networks["vae"], record.text, video, (width, height), record.seeds)
    assert off_by(made, record["sr2"]) < TOLERANCE
