"""Real servers: one in a thread without workers, and `show1 serve` as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import uvicorn

from show1.serving.app import Parts, make_app

START_SECONDS = 300


@contextmanager
def in_thread(parts: Parts) -> Iterator[str]:
    """The app behind uvicorn, on a free port; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(parts), log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    wait_for(lambda: server.started)
    yield address
    parts.stopping = server.should_exit = True
    thread.join(20)


def wait_for(condition: object, seconds: float = START_SECONDS) -> None:
    """Until a callable gives something true."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def client(address: str, key: str = "none", **options: object) -> openai.OpenAI:
    """OpenAI's own client."""
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, **options)  # type: ignore[arg-type]


class Process:
    """`show1 serve` on a store, with its workers."""

    def __init__(self, store: Path, model: Path, *options: str, port: int = 0) -> None:
        self.store = store
        place = ["--store", str(store), "--model", str(model), "--port", str(port), "--threads", "1", "--device", "cpu"]
        self.log = (store.parent / f"{store.name}-{time.monotonic_ns()}.log").open("w+")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "show1", "serve", *place, *options]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.address = ""

    def wait_until_up(self) -> "Process":
        """Until it answers."""
        try:
            wait_for(self._answers)
        except BaseException:
            self.kill()
            raise
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.said()
        if not self.address:
            said = self.said()
            self.address = said.split("API ")[1].split("/v1")[0] if "API " in said else ""
            return False
        try:
            return httpx.get(f"{self.address}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        """What it wrote."""
        return Path(self.log.name).read_text()

    def kill(self) -> None:
        """As the out-of-memory killer does it."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an init system does it; its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> "Process":
        return self.wait_until_up()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
