"""Commands and runs in processes of their own, which tests may kill. Imports come first, in a server that forks one process for each."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

PRELOAD = ["show1.training.loop", "show1.runs.run"]


def forking() -> Any:
    """The server's context."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def command(arguments: list[str], said: Path) -> None:
    """In the child: `show1` with these arguments and one thread; what it says goes to a file."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal, even where the tests run in the background
    with said.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    import torch

    from show1.cli import app

    torch.set_num_threads(1)
    app(arguments)


def show1(*arguments: object, said: Path) -> Any:
    """Start the command; the process."""
    process = forking().Process(target=command, args=([str(a) for a in arguments], said))
    process.start()
    return process
