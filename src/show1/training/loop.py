"""The training loop, the same for every stage, on accelerate."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm

from show1.errors import Show1Error
from show1.models.attention import suited_attention
from show1.models.inflate import is_temporal
from show1.training.checkpoints import checkpoint_steps, write_checkpoint
from show1.training.clips import SEED_STRIDE
from show1.training.config import TrainConfig
from show1.training.registry import TASKS
from show1.training.sheets import sample_sheet
from show1.training.sources import open_clips
from show1.training.task import Task, batch_generator

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What a `precision` computes in."""


class Trainer:
    """Trains one stage in a folder: `checkpoints/` to go on from, `losses.csv`, TensorBoard's `logs/`, and `final/`.

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
        folder.mkdir(parents=True, exist_ok=True)
        precision = None if config.precision == "no" else config.precision
        self.accelerator = Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=str(folder / "logs"))
        self.accelerator.init_trackers(config.stage)
        device = self.accelerator.device
        self.task: Task = TASKS[config.stage](config, open_clips(config, sprites, device, folder), base, device, folder)
        self._prepare()
        self.step = 0
        self.interrupted = False

    def _prepare(self) -> None:
        config, modules = self.config, self.task.modules
        for module in modules.values():
            module.requires_grad_(True).train().to(self.accelerator.device)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.ema = EMAModel(list(self._parameters()), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
        self.accelerator.register_for_checkpointing(self.ema)
        prepared = self.accelerator.prepare(*modules.values(), self.optimizer)
        self.task.modules = dict(zip(modules, prepared[:-1], strict=True))
        self.optimizer = prepared[-1]

    def _groups(self) -> list[dict[str, Any]]:
        temporal: list[nn.Parameter] = []
        spatial: list[nn.Parameter] = []
        for module in self.task.modules.values():
            for name, parameter in module.named_parameters():
                (temporal if is_temporal(name) else spatial).append(parameter)
        rate = self.config.temporal_learning_rate or self.config.learning_rate
        groups = [{"params": spatial, "lr": self.config.learning_rate}, {"params": temporal, "lr": rate}]
        return [group for group in groups if group["params"]]

    def _parameters(self) -> Iterator[nn.Parameter]:
        for module in self.task.modules.values():
            yield from module.parameters()

    def rate(self) -> float:
        """Share of the peak learning rate at this step: linear warm-up, flat, linear decay."""
        config = self.config
        up = min(1.0, (self.step + 1) / max(config.warmup_steps, 1))
        down = min(1.0, (config.steps - self.step) / config.decay_steps) if config.decay_steps else 1.0
        return up * down

    def seeds(self, step: int) -> list[int]:
        """Seeds of the clips that this process reads for a step."""
        share = self.config.batch_size // self.accelerator.num_processes
        first = self.config.seed * SEED_STRIDE + step * self.config.batch_size + self.accelerator.process_index * share
        return list(range(first, first + share))

    def train_step(self) -> float:
        """One optimizer step; its clips, noise and dropout depend on the seed and the step alone. Returns the loss."""
        config, accelerator = self.config, self.accelerator
        seeds = self.seeds(self.step)
        for group, peak in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = peak * self.rate()
        self.task.look_ahead(self.seeds(self.step + 1))
        generator = batch_generator(seeds)
        with torch.random.fork_rng():  # dropout draws from the global generator
            torch.manual_seed(seeds[0])
            with suited_attention(self.accelerator.device, DTYPES[self.config.precision]):
                loss = self.task.loss(seeds, generator)
                value = self._finite(loss, seeds)
                accelerator.backward(loss)
        accelerator.clip_grad_norm_(self._parameters(), config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self._parameters())
        self.step += 1
        return value

    def _finite(self, loss: torch.Tensor, seeds: list[int]) -> float:
        """The loss over all processes; an error before a step is made of one that is not a number."""
        value = float(self.accelerator.reduce(loss.detach(), "mean"))
        if math.isfinite(value):
            return value
        last = max(checkpoint_steps(self.checkpoints), default=0)
        raise Show1Error(f"the loss is {value} at step {self.step + 1} (clips from seed {seeds[0]} on); last good checkpoint: step {last}")

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.folder / "checkpoints"

    def save(self) -> None:
        """Write a checkpoint."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            write_checkpoint(self.checkpoints, self.step, lambda path: self.accelerator.save_state(str(path)))

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        steps = checkpoint_steps(self.checkpoints)
        if steps:
            self.accelerator.load_state(str(self.checkpoints / f"step-{steps[-1]}"))
            self.step = steps[-1]

    def run(self) -> Path:
        """Train to the end (or until interrupted) and write the averaged weights. Returns their folder."""
        config, started = self.config, time.monotonic()
        self.resume()
        total, lines = 0.0, 0
        with self._stoppable(), self._loss_file() as losses, tqdm(total=config.steps, initial=self.step, desc=config.stage) as bar:
            while self.step < config.steps and not self.interrupted:
                loss = self.train_step()
                total, lines = total + loss, lines + 1
                losses.writerow([self.step, f"{loss:.6f}"])
                bar.update()
                if self.step % config.log_every == 0:
                    bar.set_postfix(loss=f"{total / lines:.4f}")
                    self.accelerator.log({"loss": total / lines, "rate": self.rate(), **self.task.source.measures()}, step=self.step)
                    total, lines = 0.0, 0
                if self.step % config.checkpoint_every == 0:
                    self.save()
                if config.sample_every and self.step % config.sample_every == 0:
                    self.write_sheet()
                if self.max_minutes is not None and time.monotonic() - started > self.max_minutes * 60:
                    break
        if checkpoint_steps(self.checkpoints)[-1:] != [self.step]:
            self.save()
        if config.sample_every:
            self.write_sheet()
        return self.export()

    @torch.no_grad()
    def write_sheet(self) -> None:
        """Write `samples/step-N.png`: fixed clips as drawn and as the averaged weights sample them."""
        if not self.accelerator.is_main_process:
            return
        self.ema.store(self._parameters())
        self.ema.copy_to(self._parameters())
        modules = self.task.modules
        self.task.modules = {name: self.accelerator.unwrap_model(module).eval() for name, module in modules.items()}
        sheet = sample_sheet(self.task)
        self.task.modules = {name: module.train() for name, module in modules.items()}
        self.ema.restore(self._parameters())
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"step-{self.step}.png")

    @contextmanager
    def _loss_file(self) -> Iterator[Any]:
        """`losses.csv`, a line a step, cut back to the step that the run goes on from."""
        path = self.folder / "losses.csv" if self.accelerator.is_main_process else Path(os.devnull)
        lines = path.read_text().splitlines()[1:] if path.is_file() else []
        kept = [line for line in lines if int(line.split(",")[0]) <= self.step]
        with path.open("w", newline="", buffering=1) as handle:  # line by line: a killed run keeps its curve
            handle.write("\n".join(["step,loss", *kept]) + "\n")
            yield csv.writer(handle, lineterminator="\n")

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Finish the step, save and return on Ctrl-C or SIGTERM."""

        def stop(number: int, frame: object) -> None:
            self.interrupted = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def export(self) -> Path:
        """Write the averaged weights in 16 bits, one folder a component, with the config and steps they come from."""
        final = self.folder / "final"
        if self.accelerator.is_main_process:
            self.ema.copy_to(self._parameters())
            self.task.modules = {n: self.accelerator.unwrap_model(m).eval() for n, m in self.task.modules.items()}
            self.task.finish()
            for name, module in self.task.modules.items():
                self.task.saved(name, module).half().save_pretrained(final / name)
            self.task.export(final)
            record = {"config": self.config.to_dict(), "steps_done": self.step}
            (final / "training.json").write_text(json.dumps(record, indent=1))
        self.accelerator.end_training()
        return final
