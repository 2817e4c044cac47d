"""The training loop, the same for every stage, on accelerate."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from show1.allocator import kept_freed_memory
from show1.errors import DataError, Show1Error
from show1.training.chance import Chance
from show1.training.checkpoints import Checkpoint, check_same_course, last_good, read_checkpoint, write_checkpoint
from show1.training.clips import SEED_STRIDE
from show1.training.config import TrainConfig
from show1.training.export import gather_modules, write_final
from show1.training.groups import trained_groups
from show1.training.journal import Journal, start_trackers
from show1.training.looks import Looks
from show1.training.memory import checkpoint_gradients
from show1.training.optimizers import make_optimizer
from show1.training.processes import batch_part, make_accelerator, plain_modules, prepare_sharding, seeded, versions
from show1.training.registry import TASKS
from show1.training.sources import open_clips
from show1.training.state import RunState, is_sharded
from show1.training.task import Task
from show1.training.validation import Validation


class Trainer:
    """Trains one stage in a folder: `checkpoints/` to go on from, `losses.csv`, `validation.csv`, `samples/`, `logs/`, and `final/`.

    Args:
        config: what to train.
        folder: the run's folder; a run that is there goes on from its last checkpoint.
        base: what `start` folders in the config are relative to.
        sprites: the emoji world's sprites.
        max_minutes: stop early after this time, as if the run had ended there.
    """

    def __init__(self, config: TrainConfig, folder: Path, *, base: Path, sprites: Path | None, max_minutes: float | None = None) -> None:
        self.config = config
        self.folder = folder
        self.max_minutes = max_minutes
        self.accelerator = make_accelerator(config, folder)
        self.part = batch_part(config, self.accelerator)
        self.checkpoints = folder / "checkpoints"
        with self.accelerator.main_process_first():  # a new tokenizer is written once, then read by all
            source = open_clips(config, sprites, self.accelerator.device, folder)
            self.task: Task = TASKS[config.stage](config, source, base, self.accelerator.device, folder)
        self.validation = Validation(config, self.accelerator, self.part) if config.validate_every else None
        self._prepare()
        self.looks = Looks(self.task, self.state, self.accelerator, self.validation, folder)
        self.step = 0
        self.asked = 0
        """What asked this process to stop, one of STOPS; 0 to go on."""
        self.stop = 0
        """What all processes stop for."""

    def _prepare(self) -> None:
        config, modules = self.config, self.task.modules
        prepare_sharding(self.accelerator, config, modules)
        for name, module in modules.items():
            module.train().to(self.accelerator.device)
            if config.gradient_checkpointing:
                checkpoint_gradients(name, module)
        optimizer = make_optimizer(config.optimizer, trained_groups(modules, config.rates, config.learning_rate), config.weight_decay)
        if config.compile != "no":
            for module in modules.values():
                module.compile(backend=config.compile)
        *prepared, self.optimizer = self.accelerator.prepare(*modules.values(), optimizer)
        self.task.modules = dict(zip(modules, prepared, strict=True))
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.ema = EMAModel(list(self._parameters()), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
        self.state = RunState(plain_modules(self.accelerator, self.task.modules), optimizer, self.ema)

    def _parameters(self) -> Iterator[nn.Parameter]:
        for module in self.task.modules.values():
            yield from module.parameters()

    def rate(self) -> float:
        """Share of the peak learning rate at this step: linear warm-up, flat, linear decay."""
        config = self.config
        up = min(1.0, (self.step + 1) / max(config.warmup_steps, 1))
        down = min(1.0, (config.steps - self.step) / config.decay_steps) if config.decay_steps else 1.0
        return up * down

    def chance(self, part: int) -> Chance:
        """What is random in one part of this process's share of the step's batch: it follows from the seed and the step alone.

        Parts from `accumulate` on are those of the steps after this one.
        """
        config = self.config
        steps, part = divmod(part, config.accumulate)
        first = (self.accelerator.process_index * config.accumulate + part) * self.part
        seed = config.seed * SEED_STRIDE + (self.step + steps) * config.batch_size
        seeds = range(seed + first, seed + first + self.part)
        return Chance(seeds, first=first, batch=config.batch_size, batch_seed=seed)

    def train_step(self) -> float:
        """One optimizer step. Returns the loss of the whole batch."""
        for group, peak in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = peak * self.rate()
        total = torch.zeros((), device=self.accelerator.device)
        for part in range(self.config.accumulate):
            chance = self.chance(part)
            self.task.look_ahead(self.chance(part + 1))
            accumulated = self.accelerator.accumulate(*self.task.modules.values())
            with accumulated, seeded(chance.seeds[0], self.accelerator.device):
                loss = self.task.loss(chance)
                self.accelerator.backward(loss)
            total += loss.detach().float() / self.config.accumulate
        value = self._agreed(total)
        norm = self.accelerator.clip_grad_norm_(list(self._parameters()), self.config.gradient_clip)
        self._check_finite(value, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self._parameters())
        self.step += 1
        return value

    def _agreed(self, loss: Tensor) -> float:
        """The loss over all processes, which also tell each other of a wish to stop."""
        wishes = torch.stack([loss, *(torch.full_like(loss, float(self.asked == wish)) for wish in STOPS)])
        value, *stops = self.accelerator.reduce(wishes, "mean").tolist()
        self.stop = next((wish for wish, share in zip(STOPS, stops, strict=True) if share > 0), 0)
        return value

    def _check_finite(self, loss: float, norm: Tensor | None) -> None:
        """Stop before a step is made of a loss or gradient that is not a number (in fp16 a gradient may be: such a step is left out)."""
        if not math.isfinite(loss):
            what = f"the loss is {loss}"
        elif norm is not None and self.accelerator.scaler is None and not math.isfinite(float(norm)):
            what = f"the gradient is {float(norm)}"
        else:
            return
        seed = self.chance(0).seeds[0] - self.chance(0).first
        batch = f"the batch of clips {seed} to {seed + self.config.batch_size - 1}"
        raise Show1Error(
            f"{what} at step {self.step + 1}, {batch}; {last_good(self.checkpoints)}. A lower learning_rate or gradient_clip, or bf16 in place "
            "of fp16, is the usual way out: give it to a new run that starts from these weights"
        )

    def save(self) -> None:
        """Write a checkpoint."""
        sharded = any(is_sharded(p) for p in self._parameters())
        tensors = self.state.tensors() if sharded or self.accelerator.is_main_process else {}
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            record = {
                "config": self.config.to_dict(),
                "next_clip": self.step * self.config.batch_size,
                "numbers": self.state.numbers(),
                "scaler": scaler.state_dict() if scaler is not None else None,
                "versions": versions(),
            }
            write_checkpoint(self.checkpoints, Checkpoint(self.step, tensors, record), self.config.keep_checkpoints)
        self.saved = self.step
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one.

        Raises:
            SettingsError: the run was begun with other settings.
            CheckpointError: the checkpoint is damaged.
        """
        self.saved = -1
        found = read_checkpoint(self.checkpoints)
        if found is None:
            return
        check_same_course(found.record["config"], self.config, self.folder)
        self.state.restore(found.tensors, found.record["numbers"], self.checkpoints / f"step-{found.step}")
        if self.accelerator.scaler is not None and found.record["scaler"]:
            self.accelerator.scaler.load_state_dict(found.record["scaler"])
        self.step = self.saved = found.step

    def run(self) -> Path | None:
        """Train to the end (or until stopped) and write the averaged weights.

        Returns:
            Their folder; None after SIGTERM, which leaves time for a checkpoint only.
        """
        self.resume()
        start_trackers(self.config, self.folder, self.accelerator)
        try:
            with kept_freed_memory():
                return self._run()
        except OSError as error:
            raise DataError(f"the run could not be written: {error.strerror or error}; {last_good(self.checkpoints)}") from error
        finally:
            self.accelerator.end_training()

    def _run(self) -> Path | None:
        config, started = self.config, time.monotonic()
        with self._stoppable(), Journal(config, self.folder, self.accelerator, self.step).open() as journal:
            while self.step < config.steps and not self.stop:
                if self.max_minutes is not None and time.monotonic() - started > self.max_minutes * 60:
                    self.asked = OUT_OF_TIME
                loss = self.train_step()
                journal.note(self.step, loss, self.rate(), self.task.source.measures())
                with journal.paused():
                    self._look(journal)
            if self.saved != self.step:
                self.save()
            if self.stop == signal.SIGTERM:
                return None
            self._look(journal, last=True)
        return self.export()

    def _look(self, journal: Journal, *, last: bool = False) -> None:
        """Save, validate and sample when they are due; the latter two at the end of a run as well."""
        config = self.config

        def due(every: int) -> bool:
            return every > 0 and (self.step % every == 0) != last

        if not last and due(config.checkpoint_every):
            self.save()
        if due(config.validate_every):
            self.looks.validate(journal, self.step)
        if due(config.sample_every):
            self.looks.write_samples(journal, self.step)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Finish the step, save and return on Ctrl-C or SIGTERM."""

        def stop(number: int, frame: object) -> None:
            self.asked = number

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def export(self) -> Path:
        """Write the averaged weights in 16 bits, one folder a component, with the config and steps they come from."""
        self.state.place_averages()
        self.task.modules = {name: module.eval() for name, module in plain_modules(self.accelerator, self.task.modules).items()}
        for module in self.task.modules.values():
            gather_modules(module)
        if self.accelerator.is_main_process:
            write_final(self.task, self.config, self.folder, self.step)
        self.accelerator.wait_for_everyone()
        return self.folder / "final"


OUT_OF_TIME = -1
STOPS = (signal.SIGTERM, signal.SIGINT, OUT_OF_TIME)
"""What stops a run early, the most urgent first."""
