"""Clips a second and peak memory of training, stage by stage, from the networks of the model in the package.

Run: python benchmarks/training.py SPRITES [--stages keyframes pixel] [--steps 6] [--precision bf16] [--plain MODULE:CLASS]

`--plain` trains the stages of pixel video networks a second time: the class given (that of the published code, say, with its folder on
PYTHONPATH; `show1:PixelUNet` for ours), loaded with the same weights, on the same batches, in a loop of forward, backward and AdamW in float32.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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
    return replace(load_config(CONFIGS / f"{stage}.toml"), steps=steps, log_with=(), warmup_steps=1, **changes)


def measured(step: Any, batch_size: int, steps: int, peak: Any) -> Result:
    """Time of steps after the first few, and the peak of memory over all."""
    losses = [step() for _ in range(WARM_UP)]
    started = time.perf_counter()
    losses += [step() for _ in range(steps - WARM_UP)]
    seconds = time.perf_counter() - started
    return Result((steps - WARM_UP) * batch_size / seconds, peak.read()[0], losses)


def plain_step(trainer: Any, spec: str) -> Any:
    """A training step of another class of the same network, without accelerate, averaging or reduced precision."""
    import torch

    module, name = spec.split(":")
    ours = trainer.task.network
    network = getattr(importlib.import_module(module), name).from_config(dict(ours.config))
    network.load_state_dict(ours.state_dict())
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0  # as in ours, so that the curves can be compared
    trainer.task.modules[trainer.task.component] = network.to(trainer.accelerator.device).train()
    groups = [{"params": list(network.parameters()), "lr": trainer.config.learning_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=trainer.config.weight_decay)

    def step() -> float:
        loss = trainer.task.loss(trainer.chance(0))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), trainer.config.gradient_clip)
        optimizer.step()
        trainer.step += 1
        return float(loss.detach())

    return step


def run(stage: str, sprites: Path, steps: int, precision: str, plain: str | None, answer: Any) -> None:
    """Measure one stage in a process of its own."""
    from show1.cli.common import quiet_libraries

    quiet_libraries()
    from show1.evaluation.costs import PeakMemory
    from show1.training.loop import Trainer

    config = replace(stage_config(stage, steps, precision), rates={}, decay_steps=0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder) / stage, base=Path(folder), sprites=sprites)
        peak = PeakMemory(trainer.accelerator.device)
        step = plain_step(trainer, plain) if plain else trainer.train_step
        answer.put(asdict(measured(step, config.batch_size, steps, peak)))


def in_own_process(*args: Any) -> Result:
    """`run` where nothing was allocated before."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=run, args=(*args, answer))
    process.start()
    while process.is_alive() and answer.empty():
        process.join(0.5)
    if answer.empty():
        raise SystemExit("the run ended without a result; see above")
    result = Result(**answer.get())
    process.join()
    return result


def main() -> None:
    """Print a line a stage, as it is measured, and a JSON object at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sprites", type=Path)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--precision", default="bf16", choices=["no", "bf16", "fp16"])
    parser.add_argument("--plain", help="MODULE:CLASS of the network for the plain loop")
    options = parser.parse_args()
    if options.steps <= WARM_UP:
        parser.error(f"--steps must be more than {WARM_UP}, which are not timed")
    results = {}
    for stage in options.stages:
        ours = in_own_process(stage, options.sprites, options.steps, options.precision, None)
        line = f"{stage}: {ours.clips_per_second:.2f} clips/s, {ours.memory / 1e6:.0f} MB"
        results[stage] = {"ours": asdict(ours)}
        if options.plain and stage in ("keyframes", "interpolation", "pixel"):
            plain = in_own_process(stage, options.sprites, options.steps, "no", options.plain)
            off = max(abs(a - b) / b for a, b in zip(ours.losses, plain.losses, strict=True))
            results[stage]["plain"] = asdict(plain)
            line += f"; plain loop: {plain.clips_per_second:.2f} clips/s, {plain.memory / 1e6:.0f} MB; losses differ by {off:.2%} at most"
        print(line, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
