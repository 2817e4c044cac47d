"""Calls of the networks that the published code runs, at given sizes; run by `one_gpu.py` with an interpreter that has the published code's
dependencies (diffusers 0.19). Nothing of show1 is imported here.

Run: PYTHON one_gpu_published.py CODE JOB

JOB is a folder: `job.json` and each network's configuration. Writes `result.json` there: milliseconds a call.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch


@torch.no_grad()
def measured(network: Any, shape: dict[str, list[int]], job: dict[str, Any]) -> float:
    """Milliseconds of the shortest call, times how often it is made."""
    options = {"device": job["device"], "dtype": getattr(torch, job["dtype"])}
    call = {"sample": torch.randn(shape["sample"], **options), "encoder_hidden_states": torch.randn(shape["text"], **options)}
    call["timestep"] = torch.full((shape["sample"][0],), 500, device=job["device"])
    if "class_labels" in shape:
        call["class_labels"] = torch.full(shape["class_labels"], 100, device=job["device"])
    wait = torch.cuda.synchronize if job["device"].startswith("cuda") else lambda: None
    times = []
    for _ in range(job["warm_up"] + job["timed"]):
        started = time.perf_counter()
        network(**call)
        wait()
        times.append(time.perf_counter() - started)
    return 1e3 * shape["times"] * min(times[job["warm_up"] :])


def main(code: str, folder: Path) -> None:
    """Time every network."""
    sys.path.insert(0, code)
    import diffusers
    from showone.models import UNet3DConditionModel

    others = {"first_frame_unet": diffusers.UNet2DConditionModel, "latent_unet": diffusers.UNet3DConditionModel}
    job, times = json.loads((folder / "job.json").read_text()), {}
    torch.set_default_dtype(getattr(torch, job["dtype"]))
    for name, shape in job["calls"].items():
        kind = others.get(name, UNet3DConditionModel)
        known = inspect.signature(kind.__init__).parameters
        config = json.loads((folder / name / "config.json").read_text())
        with torch.device(job["device"]):
            network = kind(**{key: value for key, value in config.items() if key in known}).eval()
        times[name] = measured(network, shape, job)
        print(f"| {name} | published, eager | {times[name]:.1f} | | |", flush=True)
        del network
    (folder / "result.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
