"""Running the server: where it listens, what it needs, and how it stops."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from show1.errors import SettingsError
from show1.serving.app import PAGE, Parts, is_own, make_app
from show1.serving.keys import KeyStore
from show1.serving.offer import read_offer
from show1.serving.store import JobStore
from show1.serving.workers import Workers

IDLE_SECONDS = 75
"""How long an idle connection stays open: longer than clients wait between two looks, which would else find it just closed."""
STREAM_SECONDS = 5
"""How long open connections may take when the server stops."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How to serve; see the options of `show1 serve`."""

    store: Path
    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None
    max_queue: int = 100
    workers: int = 1
    threads: int | None = None
    device: str | None = None
    dtype: str | None = None
    compiled: bool = False
    page: bool = True
    browser: bool = False
    max_request_bytes: int = 10_000_000


class _Server(uvicorn.Server):
    """Tells the app at once when it is to stop, so that event streams end."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self.parts = parts

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self.parts.stopping = True
        super().handle_exit(sig, frame)


def serve(how: Serving, tell: Callable[[str], object] = lambda url: None) -> None:
    """Serve until a signal comes; then running jobs are put back into the queue, from where the next start goes on with them.

    Args:
        how: the options.
        tell: called with the server's address when it can be reached.

    Raises:
        SettingsError: an address that cannot be listened on, or one that others can reach while there is no API key.
        CheckpointError, DataError: a model or job store that cannot be used.
    """
    if how.max_queue < 1 or how.workers < 0:
        raise SettingsError(
            f"a queue of {how.max_queue} and {how.workers} workers cannot serve; use a queue of 1 or more and 0 workers or more"
        )
    offer = read_offer(how.model)
    store = JobStore(how.store, how.max_queue)
    keys = KeyStore(store.database).all()
    if not is_own(how.host) and all(key.revoked_at for key in keys):
        raise SettingsError(
            f"others can reach {how.host}: without an API key this server listens on 127.0.0.1 only. "
            f"Make a key first: show1 keys create NAME --store {how.store}"
        )
    listening = _listen(how.host, how.port)
    workers = Workers(store, how.workers, _worker_options(how)) if how.workers else None
    parts = Parts(store, offer, workers, keyed=bool(keys), max_request_bytes=how.max_request_bytes)
    config = uvicorn.Config(
        make_app(parts, page=how.page),
        log_level="warning",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STREAM_SECONDS,
        ws="none",
    )
    url = _address(how.host, listening)
    tell(url)
    if how.browser:
        threading.Timer(1.0, webbrowser.open, [f"{url}{PAGE}/"]).start()
    # uvicorn raises the signal again when it has stopped: that must not look like a death.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _Server(config, parts).run(sockets=[listening])


def _worker_options(how: Serving) -> list[str]:
    values = {"--model": how.model, "--device": how.device, "--dtype": how.dtype, "--threads": how.threads}
    options = [text for name, value in values.items() if value is not None for text in (name, str(value))]
    return [*options, *(["--compile"] if how.compiled else [])]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"cannot listen on {host}, port {port}: {error}; choose another with --host or --port") from None
    return listening


def _address(host: str, listening: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
