"""Our cascade against the published code: same weights, inputs, steps and threads, in turn; each stage from the same recorded input.

Run: python benchmarks/against_published.py CODE PYTHON [--model FOLDER] [--dtype bfloat16] [--repeat 3] [--threads 2]

CODE is the published code's folder (with `showone/` in it), PYTHON an interpreter that has its dependencies (diffusers 0.19.3,
transformers, and this torch). Prints a Markdown table: the fastest of the runs of each, and how far their videos differ. `--dtype`
is ours, `--their-dtype` that of the published code. On both sides solvers end as diffusers 0.19 ended them
(`final_sigmas_type = "sigma_min"`), and keyframes are not told their moments, which the published class cannot do. A model whose VAE is
of the small kind, which diffusers 0.19 does not have, runs on both sides with one of Stable Diffusion's kind with random weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from show1 import Show1Pipeline
from show1.cascade.folder import BUNDLED
from show1.cascade.settings import STAGES

PROMPT, SEED = "a car drives right in the desert", 0
OTHERS = Path(__file__).with_name("published_cascade.py")
OURS = Path(__file__).with_name("our_cascade.py")


def copy_model(model: Path, copy: Path) -> None:
    """The model as both sides can run it: solvers end as diffusers 0.19's did, keyframes are not told their moments, the VAE is of a kind it had."""
    copy.mkdir()
    for part in model.iterdir():
        if part.name.endswith("_scheduler") or part.name == "keyframes_unet":
            shutil.copytree(part, copy / part.name)
        else:
            (copy / part.name).symlink_to(part.resolve())
    for file in copy.glob("*_scheduler/scheduler_config.json"):
        config = json.loads(file.read_text())
        file.write_text(json.dumps({**config, "final_sigmas_type": "sigma_min"} if "final_sigmas_type" in config else config))
    config, weights = (copy / "keyframes_unet" / name for name in ("config.json", "diffusion_pytorch_model.safetensors"))
    config.write_text(json.dumps({**json.loads(config.read_text()), "class_embed_type": None}))
    save_file({name: value for name, value in load_file(weights).items() if not name.startswith("class_embedding")}, weights)
    if json.loads((model / "vae" / "config.json").read_text())["_class_name"] != "AutoencoderKL":
        replace_vae(model, copy)


def replace_vae(model: Path, copy: Path) -> None:
    """Put a VAE of Stable Diffusion's kind with random weights in the copy, of half a million parameters each way."""
    channels = json.loads((model / "vae" / "config.json").read_text())["latent_channels"]
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    torch.manual_seed(SEED)
    vae = AutoencoderKL(**blocks, latent_channels=channels, block_out_channels=[32, 32, 64, 64], norm_num_groups=4)
    for name in ("vae", "model_index.json"):
        (copy / name).unlink()
    vae.half().save_pretrained(copy / "vae")
    index = json.loads((model / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "vae": ["diffusers", "AutoencoderKL"]}))


def prepare(folder: Path, model: Path, threads: int, dtype: str) -> None:
    """What both sides read: the model, the settings, and the input of every stage (float32, by our cascade)."""
    torch.set_num_threads(threads)
    copy_model(model, folder / "model")
    pipeline = Show1Pipeline.from_pretrained(folder / "model")
    pipeline.set_progress_bar_config(disable=True)
    text, negative = pipeline.encode_prompt([PROMPT], [""])
    latent_text, latent_negative = pipeline.encode_latent_prompt([PROMPT], [""])
    made = pipeline(PROMPT, seed=SEED, stop_after="pixel", output_type="pt").stages()
    arrays = {"text": text, "negative": negative, "latent_text": latent_text, "latent_negative": latent_negative, **made}
    np.savez(folder / "inputs.npz", **{name: array.numpy() for name, array in arrays.items()})
    settings = {**pipeline.settings.to_dict(), "window": pipeline.settings.window, "stride": pipeline.settings.stride}
    (folder / "job.json").write_text(json.dumps({"settings": settings, "seed": SEED, "threads": threads, "dtype": dtype}))


def run(command: list[str], result: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """One side's seconds and memory, and its videos."""
    done = subprocess.run([*command, str(result)], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{command[0]} {command[1]} ended with {done.returncode}")
    return json.loads(result.read_text()), dict(np.load(result.with_suffix(".npz")))


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code")
    parser.add_argument("python")
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--their-dtype", default="float32")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, options.model, options.threads, options.their_dtype)
        theirs = [options.python, str(OTHERS), options.code, str(folder)]
        ours = [sys.executable, str(OURS), str(folder), options.dtype]
        rounds = [(run(ours, folder / "ours.json"), run(theirs, folder / "theirs.json")) for _ in range(options.repeat)]
    print(table(rounds))


def table(rounds: list[Any]) -> str:
    """Fastest seconds of each stage, their ratio, and the largest difference of the videos."""
    lines = ["| stage | ours, s | published, s | ratio | largest difference |", "|---|---|---|---|---|"]
    best = [{stage: min(r[side][0]["seconds"][stage] for r in rounds) for stage in STAGES} for side in (0, 1)]
    (_, mine), (_, theirs) = rounds[0]
    for stage in STAGES:
        difference = np.abs(mine[stage] - theirs[stage]).max()
        lines.append(
            f"| {stage} | {best[0][stage]:.2f} | {best[1][stage]:.2f} | {best[0][stage] / best[1][stage]:.2f} | {difference:.1e} |"
        )
    whole = [sum(one.values()) for one in best]
    lines.append(f"| all | {whole[0]:.2f} | {whole[1]:.2f} | {whole[0] / whole[1]:.2f} | |")
    memory = [max(r[side][0]["memory"] for r in rounds) / 1e6 for side in (0, 1)]
    lines.append(f"| peak MB above the imported process | {memory[0]:.0f} | {memory[1]:.0f} | {memory[0] / memory[1]:.2f} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
