"""Guidance and steps of the keyframe stage, compared on seen prompts only (the held-out ones are for measuring, not for choosing).

Run: python benchmarks/search_settings.py SAMPLES STEPS,STEPS,... GUIDANCE,GUIDANCE,... [MODEL]

Every setting makes the same prompts with the same seeds, so that differences are paired. Prints a Markdown table.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from show1 import Show1Pipeline
from show1.evaluation.alignment import read_videos
from show1.evaluation.prompts import drawn_by, world_prompts
from show1.evaluation.reference import load_recogniser
from show1.evaluation.report import ALL_RIGHT

SEED = 7001
"""Away from the seeds that evaluation starts from."""


def main(samples: int, steps: list[int], scales: list[float], model: str | None) -> None:
    """Print a row for each pair of steps and guidance."""
    pipeline, recogniser = Show1Pipeline.from_pretrained(model), load_recogniser()
    pipeline.set_progress_bar_config(disable=True)
    asked = world_prompts(drawn_by(pipeline), "seen", samples, SEED)
    print("| steps | guidance | " + " | ".join(ALL_RIGHT) + " | seconds a video |")
    print("|" + "---|" * (3 + len(ALL_RIGHT)))
    for count in steps:
        for scale in scales:
            sampler = replace(pipeline.settings.keyframes, steps=count, guidance=scale)
            settings = replace(pipeline.settings, keyframes=sampler)
            right, seconds = dict.fromkeys(ALL_RIGHT, 0), 0.0
            for one in asked:
                result = pipeline(one.prompt, seed=one.seed % 2**31, settings=settings, stop_after="keyframes", output_type="pt")
                reading = read_videos(recogniser, one, result.stages())
                seconds += result.seconds["keyframes"] / samples
                for name in ALL_RIGHT:
                    right[name] += reading.right("keyframes", name)
            print(
                f"| {count} | {scale} | " + " | ".join(f"{right[name]}/{samples}" for name in ALL_RIGHT) + f" | {seconds:.1f} |", flush=True
            )


if __name__ == "__main__":
    model = sys.argv[4] if len(sys.argv) > 4 else None
    main(int(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")], [float(x) for x in sys.argv[3].split(",")], model)
