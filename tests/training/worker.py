"""A training run in a process of its own, which tests may kill."""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import forking
from show1.training.config import TrainConfig

PATIENCE = 300
"""Seconds before a run counts as stuck."""


def held(trainer: Any) -> dict[str, int]:
    """How many numbers this process keeps of the running averages and of the optimizer's memory."""
    remembered = [value for state in trainer.state.optimizer.state.values() for value in state.values() if value.ndim]
    kept = {"averages": trainer.ema.shadow_params, "optimizer": remembered}
    return {name: sum(getattr(t, "_local_tensor", t).numel() for t in tensors) for name, tensors in kept.items()}


def shard_on_the_cpu() -> None:
    """Tell accelerate to shard, which its launcher's options do on GPUs only; all that follows is its FSDP2 path."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    Accelerator(mixed_precision="no")
    PartialState().distributed_type = DistributedType.FSDP
    AcceleratorState().fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2)


def train(config: TrainConfig, folder: Path, base: Path, sprites: Path, file_limit: int | None, world: dict[str, str]) -> None:
    """Run to the end; an error for people goes to `error.txt` and gives status 1, a stop by SIGTERM gives 143."""
    os.environ.update(world)
    import torch

    from show1.errors import Show1Error
    from show1.training.loop import Trainer

    torch.set_num_threads(1)
    sys.stderr = (folder.parent / f"{folder.name}{os.environ.get('RANK', '')}.log").open("a", buffering=1)
    try:
        if "ACCELERATE_USE_FSDP" in os.environ:
            shard_on_the_cpu()
        trainer = Trainer(config, folder, base=base, sprites=sprites)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        status = 143 if trainer.run() is None else 0
        (folder.parent / f"held{os.environ.get('RANK', '')}.json").write_text(json.dumps(held(trainer)))
    except Show1Error as error:
        (folder.parent / "error.txt").write_text(str(error))
        status = 1
    sys.stderr.flush()
    os._exit(status)  # gloo may abort at exit after its work is done


class Runs:
    """Starts runs in processes of their own."""

    def __init__(self, base: Path, sprites: Path) -> None:
        self.base, self.sprites = base, sprites
        self.context = forking()

    def start(self, config: TrainConfig, folder: Path, *, file_limit: int | None = None, world: dict[str, str] | None = None) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        process = self.context.Process(target=train, args=(config, folder, self.base, self.sprites, file_limit, world or {}))
        process.start()
        return process

    def finish(self, config: TrainConfig, folder: Path, **options: Any) -> int:
        """Run to the end; the exit status."""
        process = self.start(config, folder, **options)
        process.join(PATIENCE)
        return process.exitcode

    def together(self, config: TrainConfig, folder: Path, port: int, extra: dict[str, str] | None = None, count: int = 2) -> list[int]:
        """One run in several processes over gloo, as a launcher starts them; their exit statuses."""
        common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
        ranks = [{**common, **(extra or {}), "RANK": str(i), "LOCAL_RANK": str(i), "LOCAL_WORLD_SIZE": str(count)} for i in range(count)]
        started = [self.start(config, folder, world=rank) for rank in ranks]
        deadline = time.monotonic() + PATIENCE
        while any(process.is_alive() for process in started):
            if any(process.exitcode for process in started) or time.monotonic() > deadline:
                for process in started:  # the others would wait for it for ever
                    process.kill()
            time.sleep(0.05)
        return [process.exitcode for process in started]


def losses(folder: Path) -> list[str]:
    """The lines of a run's loss curve."""
    path = folder / "losses.csv"
    return path.read_text().splitlines()[1:] if path.is_file() else []


def wait_for(reached: Callable[[], bool], process: Any) -> None:
    """Wait until something is reached, or the process has ended."""
    while not reached() and process.is_alive():
        time.sleep(0.002)


@contextmanager
def killed(process: Any, number: int = signal.SIGKILL) -> Iterator[None]:
    """Let the body wait for the moment, then send a signal and wait for the end."""
    yield
    if process.is_alive():
        os.kill(process.pid, number)
    process.join(PATIENCE)
