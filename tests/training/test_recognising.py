"""What the recogniser is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from show1.errors import SettingsError
from show1.training.chance import Chance
from show1.training.config import TrainConfig
from show1.training.recognising import MOST_NOISE, MOST_TINT, Recognising
from show1.training.sources import open_clips

Config = Callable[..., TrainConfig]


def shown(config: Config, sprites: Path, folder: Path, **settings: Any) -> torch.Tensor:
    """A batch of clips [4, 3, F, H, W] as the recogniser is shown them."""
    wanted = config("recogniser", batch_size=4, network={"width": 16}, **settings)
    task = Recognising(wanted, open_clips(wanted, sprites, torch.device("cpu"), folder), folder, torch.device("cpu"), folder)
    chance = Chance(range(4))
    return task.degraded(task.clips(chance), chance)


def colour(video: torch.Tensor) -> torch.Tensor:
    """How far the channels of each video [B, 3, F, H, W] go apart, noise averaged away: [B]."""
    means = torch.nn.functional.avg_pool3d(video, (1, 8, 8))
    return (means - means.mean(1, keepdim=True)).std((2, 3, 4)).amax(1)


def test_clips_are_shown_in_grey_where_that_is_asked_for(config: Config, sprites: Path, tmp_path: Path) -> None:
    plain, grey, some = (colour(shown(config, sprites, tmp_path, grey=share)) for share in (0.0, 1.0, 0.5))
    assert float(grey.max()) < (MOST_TINT + MOST_NOISE) / 8 < float(plain.min()) / 2
    assert all(
        float(one) in (pytest.approx(float(a), abs=0.02), pytest.approx(float(b), abs=0.02))
        for one, a, b in zip(some, plain, grey, strict=True)
    )


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_grey_is_a_share(config: Config, share: float) -> None:
    with pytest.raises(SettingsError, match="grey"):
        config("recogniser", grey=share)
