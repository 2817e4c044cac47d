"""The published network in a plain training loop, on batches that `training.py` recorded; run by it with an interpreter that has
the published code's dependencies (diffusers 0.19). Nothing of show1 is imported here.

Run: PYTHON published_training.py CODE JOB

JOB is a folder: `network/`, `job.json` (steps, learning rate and so on) and a file for each step. Writes `result.json` there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from published_cascade import load_published, peak_memory


def main(code: str, folder: Path) -> None:
    """Train, and write clips a second, peak memory and losses."""
    sys.path.insert(0, code)
    import torch
    from showone.models import UNet3DConditionModel

    job = json.loads((folder / "job.json").read_text())
    network = load_published(UNet3DConditionModel, folder / "network").train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    optimizer = torch.optim.AdamW(network.parameters(), lr=job["learning_rate"], weight_decay=job["weight_decay"])
    seconds, losses, clips = 0.0, [], 0
    for index in range(job["steps"]):
        batch = {name: torch.from_numpy(array) for name, array in np.load(folder / f"{index}.npz").items()}
        started = time.perf_counter()
        losses.append(step(network, optimizer, batch, job["gradient_clip"]))
        if index >= job["warm_up"]:
            seconds, clips = seconds + time.perf_counter() - started, clips + len(batch["sample"])
    (folder / "result.json").write_text(json.dumps({"clips_per_second": clips / seconds, "memory": peak_memory(), "losses": losses}))


def step(network: Any, optimizer: Any, batch: dict[str, Any], gradient_clip: float) -> float:
    """Forward, backward and AdamW."""
    import torch

    labels = {"class_labels": batch["class_labels"].long()} if "class_labels" in batch else {}
    made = network(batch["sample"], batch["timestep"].long(), batch["text"], **labels).sample
    target = batch["target"]
    errors = (batch["weights"] * (made[:, : target.shape[1]] - target).square()).flatten(1).mean(1)
    loss = (errors * batch["clip_weights"]).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
    optimizer.step()
    return float(loss.detach())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
