"""Fixtures that several parts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tiny
from show1 import Show1Pipeline


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Everything here is small: more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Show1Pipeline:
    """A tiny cascade that no test changes."""
    return tiny.make_pipeline(tmp_path_factory.mktemp("tokenizers"))


@pytest.fixture(scope="session")
def saved_pipeline(pipeline: Show1Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cascade's folder."""
    folder = tmp_path_factory.mktemp("saved") / "tiny-cascade"
    pipeline.save_pretrained(folder)
    return folder
