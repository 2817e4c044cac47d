"""Colours drawn at random, equally light."""

import pytest
import torch

from show1.errors import SettingsError
from show1.models.recogniser import luminance
from show1.training.chance import Chance
from show1.training.config import TrainConfig
from show1.training.recolouring import recoloured


def test_only_the_lightness_stays() -> None:
    pictures = torch.rand(2, 3, 20, 32, generator=torch.Generator().manual_seed(0)) * 0.8 - 0.4
    made = recoloured(pictures, (-1.0, 1.0), Chance([1, 2]))
    assert made.shape == pictures.shape
    assert torch.allclose(luminance(made), luminance(pictures), atol=0.02)
    chroma = made - luminance(made)[:, None]
    assert chroma.std() > 0.1
    assert torch.corrcoef(torch.stack([chroma.flatten(), (pictures - luminance(pictures)[:, None]).flatten()]))[0, 1].abs() < 0.1
    assert not torch.allclose(chroma[0], chroma[1], atol=0.1), "each clip has colours of its own"
    assert torch.allclose(made[1:], recoloured(pictures[1:], (-1.0, 1.0), Chance([2])), atol=1e-6), "whatever else is in the batch"


def test_the_span_becomes_black_and_white() -> None:
    grey = torch.linspace(-0.5, 0.25, 160).view(1, 1, 10, 16).expand(1, 3, 10, 16)
    light = luminance(recoloured(grey, (-0.5, 0.25), Chance([3])))
    assert light.min() < -0.7 and light.max() > 0.7, "but for colours that do not fit between black and white"
    assert torch.corrcoef(torch.stack([light.flatten(), grey[:, 0].flatten()]))[0, 1] > 0.97


def test_a_span_that_is_none_is_refused() -> None:
    for span in ((1.0, -1.0), (0.0, 0.0), (1.0,), ("dark", "light"), ()):
        with pytest.raises(SettingsError, match="recolour is"):
            TrainConfig(stage="vae", steps=1, batch_size=1, recolour=span)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="stage vae, not for pixel"):
        TrainConfig(stage="pixel", steps=1, batch_size=1, recolour=(-1.0, 1.0))
