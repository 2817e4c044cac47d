"""Clips a second and peak memory of training, stage by stage, from the networks of the model in the package.

Run: python benchmarks/training.py SPRITES [--stages keyframes pixel] [--steps 6] [--precision bf16] [--batch 8] [--processes 2]
     [--published CODE PYTHON]

`--batch` takes another number of clips a step than the bundled model's configurations, for both.
`--processes` shares every batch among as many processes on this machine's CPU, as `torchrun` starts them, each with its share of the cores.
`--published` trains the pixel video networks a second time: the published class from its code's folder CODE (with `showone/` in it), run
by an interpreter PYTHON that has its dependencies (diffusers 0.19.3 and this torch), with the same weights, on the same batches, in a plain
loop of forward, backward and AdamW in float32. Clips are drawn before the time runs, for both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CONFIGS = Path(__file__).parents[1] / "configs" / "bundled"
T5 = {"text_encoder": "bundled:text_encoder", "tokenizer": "bundled:tokenizer"}
CLIP = {"text_encoder": "bundled:latent_text_encoder", "tokenizer": "bundled:latent_tokenizer"}
STAGES: dict[str, tuple[str, dict[str, str]]] = {
    "keyframes": ("keyframes_unet", T5),
    "interpolation": ("interpolation_unet", T5),
    "first-frame": ("first_frame_unet", T5),
    "pixel": ("pixel_upscale_unet", T5),
    "vae": ("vae", {}),
    "latent": ("latent_unet", {**CLIP, "vae": "bundled:vae"}),
}
WARM_UP = 2
PUBLISHED = Path(__file__).with_name("published_training.py")


@dataclass(frozen=True)
class Result:
    """What one way of training cost."""

    clips_per_second: float
    memory: int
    """Peak bytes: resident in the process on a CPU, allocated on a GPU."""
    losses: list[float]


def stage_config(stage: str, steps: int, precision: str) -> Any:
    """The bundled model's configuration of a stage, started from that model's networks."""
    from show1.training.config import load_config

    component, start = STAGES[stage]
    start = {"network": f"bundled:{component}", **start}
    if stage != "vae":
        start["scheduler"] = f"bundled:{component.replace('_unet', '_scheduler')}"
    changes: dict[str, Any] = {"start": start, "network": {}, "train_text": False, "precision": precision, "temporal_dropout": 0.0}
    changes |= {"layout_weight": 0.0}  # what beside the network's own loss is learned from
    return replace(load_config(CONFIGS / f"{stage}.toml"), steps=steps, log_with=(), warmup_steps=1, **changes)


class Drawn:
    """A source of clips that keeps what it drew."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.kept: dict[tuple[int, ...], Any] = {}

    def clips(self, seeds: Any, *args: Any, **kwargs: Any) -> Any:
        if tuple(seeds) not in self.kept:
            self.kept[tuple(seeds)] = self.source.clips(seeds, *args, **kwargs)
        return self.kept[tuple(seeds)]

    def look_ahead(self, *_: Any, **__: Any) -> None:
        """Everything was drawn."""


def draw_clips(trainer: Any, steps: int) -> None:
    """Draw what the first steps train on."""
    trainer.task.source = Drawn(trainer.task.source)
    for trainer.step in range(steps):
        trainer.task.clips(trainer.chance(0))
    trainer.step = 0


def measured(step: Any, batch_size: int, steps: int, peak: Any) -> Result:
    """Time of steps after the first few, and the peak of memory over all."""
    losses = [step() for _ in range(WARM_UP)]
    started = time.perf_counter()
    losses += [step() for _ in range(steps - WARM_UP)]
    seconds = time.perf_counter() - started
    return Result((steps - WARM_UP) * batch_size / seconds, peak.read()[0], losses)


def without_moments(folder: Path) -> str:
    """The bundled keyframe network where it no longer reads its frames' moments, which the published class cannot; saved in a folder."""
    from show1 import PixelUNet
    from show1.cascade.folder import BUNDLED
    from show1.models.loading import load_network

    network = load_network(PixelUNet, BUNDLED / "keyframes_unet")
    network.class_embedding = None
    network.register_to_config(class_embed_type=None)
    network.save_pretrained(folder)
    return str(folder)


def record_batches(trainer: Any, folder: Path, steps: int) -> None:
    """What each step asks of the network, and what it should have answered: one file a step, for another class of the same network."""
    import numpy as np
    import torch

    task, seen = trainer.task, {}
    objective = task.objective

    class Recorder(torch.nn.Module):
        config = task.network.config

        def __init__(self) -> None:
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(()))

        def forward(self, sample: Any, timestep: Any, text: Any, **conditions: Any) -> Any:
            seen.update(sample=sample, timestep=timestep, text=text, **conditions)
            return SimpleNamespace(sample=torch.zeros_like(sample[:, :3]))

    def errors(prediction: Any, target: Any, weights: Any) -> Any:
        seen.update(target=target, weights=torch.as_tensor(weights))
        return type(objective).errors(objective, prediction, target, weights)

    def weight(timesteps: Any) -> Any:
        seen["clip_weights"] = type(objective).weight(objective, timesteps)
        return seen["clip_weights"]

    task.network.save_pretrained(folder / "network")
    task.modules[task.component] = Recorder()
    objective.errors, objective.weight = errors, weight
    with torch.no_grad():
        for index in range(steps):
            task.loss(trainer.chance(0))
            np.savez(folder / f"{index}.npz", **{name: value.detach().float().numpy() for name, value in seen.items()})
            trainer.step += 1


def run(stage: str, options: argparse.Namespace, record: Path | None, world: dict[str, str], answer: Any) -> None:
    """Measure one stage in a process of its own, or record what it trains on."""
    os.environ.update(world)
    from show1.allocator import kept_freed_memory
    from show1.cli.common import quiet_libraries

    quiet_libraries()
    from show1.evaluation.costs import PeakMemory
    from show1.training.loop import Trainer

    precision, backend = ("no", "no") if record else (options.precision, options.compile)
    config = replace(stage_config(stage, options.steps, precision), rates={}, decay_steps=0, compile=backend)
    config = replace(config, batch_size=options.batch or config.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        if options.published and stage == "keyframes":
            config = replace(config, start={**config.start, "network": without_moments(Path(folder) / "network")})
        trainer = Trainer(config, Path(folder) / stage, base=Path(folder), sprites=options.sprites)
        if record:
            record_batches(trainer, record, options.steps)
            answer.put({"learning_rate": config.learning_rate, "weight_decay": config.weight_decay, "gradient_clip": config.gradient_clip})
        else:
            draw_clips(trainer, options.steps)
            peak = PeakMemory(trainer.accelerator.device)
            with kept_freed_memory():
                answer.put(asdict(measured(trainer.train_step, config.batch_size, options.steps, peak)))
        trainer.accelerator.end_training()


def worlds(count: int) -> list[dict[str, str]]:
    """What a launcher tells each of its processes."""
    if count == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "ACCELERATE_USE_CPU": "true", **address}
    common["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def in_own_processes(stage: str, options: argparse.Namespace, record: Path | None = None) -> dict[str, Any]:
    """`run` where nothing was allocated before; the first process's result, with the memory of all."""
    context = multiprocessing.get_context("spawn")
    answers: list[tuple[Any, Any]] = []
    for world in worlds(1 if record else options.processes):
        answer = context.SimpleQueue()
        process = context.Process(target=run, args=(stage, options, record, world, answer), daemon=True)
        process.start()
        answers.append((process, answer))
    while any(answer.empty() for _, answer in answers):
        if any(answer.empty() and not process.is_alive() for process, answer in answers):
            raise SystemExit("the run ended without a result; see above")
        time.sleep(0.1)
    results: list[dict[str, Any]] = [answer.get() for _, answer in answers]
    for process, _ in answers:
        process.join()
    return results[0] if record else {**results[0], "memory": sum(result["memory"] for result in results)}


def published(stage: str, options: argparse.Namespace) -> Result:
    """The published network's turn, in its own interpreter."""
    code, python = options.published
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        job = in_own_processes(stage, options, folder)
        (folder / "job.json").write_text(json.dumps({**job, "steps": options.steps, "warm_up": WARM_UP}))
        subprocess.run([python, str(PUBLISHED), code, str(folder)], check=True, stderr=subprocess.DEVNULL)
        return Result(**json.loads((folder / "result.json").read_text()))


def main() -> None:
    """Print a line a stage, as it is measured, and a JSON object at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sprites", type=Path)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--precision", default="bf16", choices=["no", "bf16", "fp16"])
    parser.add_argument("--compile", default="no", help="backend of torch.compile for our network")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--published", nargs=2, metavar=("CODE", "PYTHON"))
    options = parser.parse_args()
    if options.steps <= WARM_UP:
        parser.error(f"--steps must be more than {WARM_UP}, which are not timed")
    results = {}
    for stage in options.stages:
        ours = Result(**in_own_processes(stage, options))
        line = f"{stage}: {ours.clips_per_second:.2f} clips/s, {ours.memory / 1e6:.0f} MB"
        results[stage] = {"ours": asdict(ours)}
        if options.published and stage in ("keyframes", "interpolation", "pixel"):
            plain = published(stage, options)
            off = max(abs(a - b) / b for a, b in zip(ours.losses, plain.losses, strict=True))
            results[stage]["published"] = asdict(plain)
            line += f"; published: {plain.clips_per_second:.2f} clips/s, {plain.memory / 1e6:.0f} MB; losses differ by {off:.2%} at most"
        print(line, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
