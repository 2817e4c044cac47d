"""Servers that several tests ask."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from servers import Process, client, in_thread
from show1.serving.app import Parts
from show1.serving.offer import Offer, read_offer
from show1.serving.store import JobStore


@pytest.fixture(scope="session")
def offer(saved_pipeline: Path) -> Offer:
    """What the tiny cascade can make."""
    return read_offer(str(saved_pipeline))


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    """An empty job store with room for three."""
    return JobStore(tmp_path / "jobs", max_queue=3)


@pytest.fixture
def quiet(store: JobStore, offer: Offer) -> Iterator[str]:
    """Address of a server whose jobs nobody makes."""
    with in_thread(Parts(store, offer, max_request_bytes=20_000)) as address:
        yield address


@pytest.fixture(scope="session")
def server(saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """`show1 serve` with a worker and the web page."""
    with Process(tmp_path_factory.mktemp("serve") / "jobs", saved_pipeline) as process:
        yield process


@pytest.fixture
def videos(server: Process) -> openai.OpenAI:
    """OpenAI's client of that server."""
    return client(server.address)
