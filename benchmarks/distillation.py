"""Interpolation of the bundled model in fewer steps, before and after distilling.

Run: python benchmarks/distillation.py SPRITES FOLDER [--student 2] [--teacher 8] [--steps 300] [--clips 8]

Trains in FOLDER (the same command goes on), then makes the frames between the drawn keyframes of seen clips: by the network as it is, in the
teacher's and in the student's steps, and by the student. Prints how far each is from the teacher's frames and from the drawn ones
(mean square, colours in [-1, 1]), how sharp (as in `show1 evaluate`, over the drawn one's), and its network calls.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).parents[1] / "configs" / "bundled" / "interpolation.toml"
PARTS = {"network": "interpolation_unet", "scheduler": "interpolation_scheduler", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}
FIRST_SEED = 7_000_000
CLIP_FRAMES, BETWEEN = 29, 3


def settings(options: argparse.Namespace) -> Any:
    """The bundled stage's own training, from the finished network."""
    from show1.training.config import DistillConfig, load_config

    start = {name: f"bundled:{part}" for name, part in PARTS.items()}
    distill = DistillConfig(steps=options.student, teacher_steps=options.teacher)
    config = load_config(CONFIG, steps=options.steps, learning_rate=3e-4, warmup_steps=10, decay_steps=options.steps // 2)
    return replace(config, start=start, network={}, scheduler={}, distill=distill, train_text=False, log_with=(), caption_dropout=0.0)


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sprites", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--student", type=int, default=2)
    parser.add_argument("--teacher", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=8)
    options = parser.parse_args()

    from show1.cascade.loading import quiet_libraries

    quiet_libraries()
    import torch

    from show1 import PixelUNet
    from show1.cascade.interpolation import sample_interpolation
    from show1.evaluation.statistics import sharpness
    from show1.models.loading import load_network, load_scheduler
    from show1.training.clips import frame_times
    from show1.training.loop import Trainer

    trainer = Trainer(settings(options), options.folder, base=options.folder, sprites=options.sprites)
    final = trainer.run()
    if final is None:
        return
    task: Any = trainer.task
    clips = task.source.clips(list(range(FIRST_SEED, FIRST_SEED + options.clips)), frame_times(0, CLIP_FRAMES), task.wanted)
    drawn = clips.draw(clips.sizes.low)
    sampler, text = task.sampling(clips)
    networks = {
        "teacher": (task.distillation.teacher, options.teacher),
        "teacher, fewer steps": (task.distillation.teacher, options.student),
        "student": (load_network(PixelUNet, final / PARTS["network"]).float().eval(), options.student),
    }
    scheduler = load_scheduler(final / PARTS["scheduler"])
    wanted = None
    print("| network | calls | from the teacher's | from the drawn | sharpness |\n|---|---|---|---|---|")
    with torch.no_grad():
        for name, (network, steps) in networks.items():
            one = replace(sampler, network=network, scheduler=scheduler, settings=replace(sampler.settings, steps=steps))
            made = sample_interpolation(one, text, drawn[:, :, :: BETWEEN + 1], BETWEEN, clips.seeds)
            wanted = made if wanted is None else wanted
            far = [float((made - other).square().mean()) for other in (wanted, drawn)]
            print(
                f"| {name} | {steps} | {far[0]:.5f} | {far[1]:.5f} | {float((sharpness(made) / sharpness(drawn)).mean()):.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
