"""Our side of `against_published.py`: every stage from its recorded input.

Run: python our_cascade.py JOB DTYPE RESULT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from published_cascade import peak_memory

from show1 import Show1Pipeline
from show1.cascade.settings import STAGES


def main(job: Path, dtype: str, result: Path) -> None:
    """Run every stage; write videos, seconds and peak memory above the imported process."""
    options = json.loads((job / "job.json").read_text())
    torch.set_num_threads(options["threads"])
    inputs = {name: torch.from_numpy(array) for name, array in np.load(job / "inputs.npz").items()}
    imported = peak_memory()
    pipeline = Show1Pipeline.from_pretrained(job / "model", dtype=getattr(torch, dtype))
    names = {"prompt": "text", "negative_prompt": "negative", "latent_prompt": "latent_text", "latent_negative_prompt": "latent_negative"}
    text = {f"{name}_embeds": inputs[ours] for name, ours in names.items()}
    seconds, videos = {}, {}
    for before, stage in zip((None, *STAGES), STAGES, strict=False):
        given = {} if before is None else {before: inputs[before]}
        started = time.perf_counter()
        made = pipeline(seed=options["seed"], given=given, stop_after=stage, output_type="pt", **text)
        seconds[stage] = time.perf_counter() - started
        videos[stage] = made.stages()[stage].float().numpy()
    np.savez(result.with_suffix(".npz"), **videos)
    result.write_text(json.dumps({"seconds": seconds, "memory": peak_memory() - imported}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
