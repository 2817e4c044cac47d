"""Videos a minute of `show1 batch` with one worker for each stage and with two, one thread each.

Run: python benchmarks/batch.py [MODEL] [VIDEOS]

Each batch is run once in a fresh folder. The rate is taken between the first and the last video, without Ray's and torch's start-up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "a rocket flies over the ocean at night"


def measure(model: str, videos: int, workers: int) -> tuple[float, float]:
    """Seconds of the whole command, and videos a minute once they come."""
    with tempfile.TemporaryDirectory() as folder:
        prompts, output = Path(folder, "prompts.txt"), Path(folder, "out")
        prompts.write_text(f"{PROMPT}\n" * videos)
        command = [sys.executable, "-m", "show1", "batch", prompts, "-o", output, "--model", model]
        started = time.perf_counter()
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*map(str, command), "--workers", str(workers), "--threads", "1", "--device", "cpu"], check=True, env=one_thread)
        seconds = time.perf_counter() - started
        finished = sorted(path.stat().st_mtime for path in output.glob("videos/*.json"))
        return seconds, 60 * (videos - 1) / (finished[-1] - finished[0])


def main(model: str, videos: int) -> None:
    """Print a Markdown table."""
    print("| workers for each stage | videos a minute | seconds with start-up |\n|---|---|---|")
    for workers in (1, 2):
        seconds, rate = measure(model, videos, workers)
        print(f"| {workers} | {rate:.1f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bundled", int(sys.argv[2]) if len(sys.argv) > 2 else 12)
