"""Peak memory of `show1 upscale` against the length of the clip: it must not grow. Run: python benchmarks/upscale_memory.py

A tiny cascade (tests/tiny.py) upscales a clip and one of four times the length, each in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

FRAMES, SIZE = 60, (48, 32)


def one(frames: int) -> None:
    """Upscale a clip of so many frames in this process; print its peak of resident memory in bytes."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    import torch

    import clips
    import tiny
    from show1.evaluation.costs import PeakMemory
    from show1.tools.upscale import upscale_clip

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = tiny.make_pipeline(Path(folder))
        settings = replace(tiny.SETTINGS, latent_window=16, latent_overlap=4)
        source = clips.write(Path(folder) / "low.mp4", frames, SIZE, audio="aac", fps=Fraction(25))
        peak = PeakMemory(torch.device("cpu"))
        upscale_clip(pipeline, source, Path(folder) / "high.mp4", scale=2.0, settings=settings)
        print(peak.read()[0])


def main() -> None:
    """Measure both lengths, print peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, help="measure one length in this process")
    asked = parser.parse_args()
    if asked.frames:
        one(asked.frames)
        return
    peaks = []
    for frames in (FRAMES, 4 * FRAMES):
        command = [sys.executable, __file__, "--frames", str(frames)]
        peaks.append(int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]))
        print(f"{frames} frames of {SIZE[0]}x{SIZE[1]}: peak {peaks[-1] / 1e6:.0f} MB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
