"""Clips a second, and processor time a clip, that training reads from a set of the user's, by number of workers: `python benchmarks/decoding.py SOURCE`.

Each clip is read whole for a stage that needs 29 frames at 576 x 320, and for one that needs a single picture.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch

from show1.training.clips import CLIP_FRAMES, Wanted, frame_times
from show1.training.config import DataConfig, TrainConfig
from show1.training.recorded import RecordedSource

BATCH = 4


def measure(source: str, workers: int, times: torch.Tensor, batches: int) -> tuple[float, float]:
    """Clips decoded a second, each batch begun while the one before it is read, and processor seconds a clip (all threads)."""
    config = TrainConfig(stage="keyframes", steps=1, batch_size=BATCH, data=DataConfig(source=source, workers=workers))
    with tempfile.TemporaryDirectory() as folder:
        clips = RecordedSource(config, source, torch.device("cpu"), Path(folder))
        seeds = [list(range(BATCH * i, BATCH * (i + 1))) for i in range(batches + 2)]
        clips.clips(seeds[0], times, Wanted())  # files come into the cache of the system, libraries into memory
        started, busy = time.perf_counter(), time.process_time()
        for now, after in pairwise(seeds[1:]):
            clips.look_ahead(after, times, Wanted())
            clips.clips(now, times, Wanted())
        count = BATCH * batches
        return count / (time.perf_counter() - started), (time.process_time() - busy) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="shards, a table, or a folder of clips")
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    for name, times in (("29 frames", frame_times(0, CLIP_FRAMES)), ("1 frame", frame_times(7, 1))):
        for workers in options.workers:
            rate, busy = measure(options.source, workers, times, options.batches)
            print(f"{name}, {workers} workers: {rate:.2f} clips/s, {1000 * busy:.0f} ms of processor a clip", flush=True)


if __name__ == "__main__":
    main()
