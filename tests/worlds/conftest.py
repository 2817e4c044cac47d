"""A world of drawn shapes that needs no download."""

from collections.abc import Iterator

import pytest
import torch

from show1.worlds.emoji import EmojiWorld
from show1.worlds.sprites import SpriteStore

NAMES = ("turtle", "horse", "rocket", "butterfly", "car", "ball")


@pytest.fixture(scope="session")
def world() -> EmojiWorld:
    return EmojiWorld(SpriteStore.synthetic(NAMES))


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """The pictures are small: more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
