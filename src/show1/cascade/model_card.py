"""A model's card: the README.md that `save_pretrained` writes beside its weights, with what is known of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER = "[Show-1](https://arxiv.org/abs/2309.15818)"
STAGES = {
    "keyframes_unet": "keyframes",
    "interpolation_unet": "interpolation",
    "first_frame_unet": "first frame",
    "pixel_upscale_unet": "pixel upscaling",
    "latent_unet": "latent upscaling",
    "vae": "the latent stage's VAE",
    "text_encoder": "T5",
    "latent_text_encoder": "CLIP's text model",
}
SHOWN_KEYS = ("batch_size", "learning_rate", "rates", "optimizer", "precision", "ema_decay", "seed")
"""Keys of a run's configuration that the card shows; the folder's model_index.json has all of them."""


def model_card(
    sizes: Mapping[str, int],
    settings: Mapping[str, Any],
    vocabulary: Mapping[str, list[str]],
    training: Mapping[str, Any],
    *,
    licence: str | None,
    name: str,
) -> str:
    """The card's text.

    Args:
        sizes: parameters of each network, by component.
        settings: sampling defaults.
        vocabulary: what the model was taught to draw; empty for an open vocabulary.
        training: a record for each run (`training.json`), by run.
        licence: an identifier as the hub knows it; None where nobody has said.
        name: the model's name, or its id on the hub.
    """
    head = ["pipeline_tag: text-to-video", "library_name: diffusers", "tags: [show1, text-to-video]"]
    head += [f"license: {licence}"] if licence else []
    parts = [
        "---\n" + "\n".join(head) + "\n---",
        f"# {name}",
        f"A text-to-video cascade in the design of {PAPER}: keyframes, interpolation and upscaling in pixels, then upscaling in latents.",
        _usage(name),
        _networks(sizes, settings),
        _words(vocabulary),
        _training(training),
        "## Licence\n\n" + (f"{licence}." if licence else "Not stated. Ask whoever shared this model before you use it."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usage(name: str) -> str:
    return f'## Use\n\n```sh\npip install show1\nshow1 generate "a prompt" --model {name} -o video.mp4\n```'


def _networks(sizes: Mapping[str, int], settings: Mapping[str, Any]) -> str:
    rows = [f"| {STAGES.get(component, component)} | {size / 1e6:.2f} |" for component, size in sizes.items()]
    width, height = settings["final_size"]
    table = "\n".join(["| part | million parameters |", "|---|---|", *rows])
    return f"## What is inside\n\n{table}\n\nVideos are {width} x {height} pixels."


def _words(vocabulary: Mapping[str, list[str]]) -> str:
    rows = [f"- {kind}: {', '.join(values)}" for kind, values in vocabulary.items() if kind != "words"]
    return "## What it was taught to draw\n\n" + "\n".join(rows) if rows else ""


def _training(training: Mapping[str, Any]) -> str:
    if not training:
        return ""
    return "## Training\n\n" + "\n\n".join(_run(run, record) for run, record in training.items())


def _run(run: str, record: Mapping[str, Any]) -> str:
    config, metrics = record["config"], record.get("metrics", {})
    clips = record.get("clips_seen", record["steps_done"] * config["batch_size"])
    lines = [f"### {run}", "", f"- steps: {record['steps_done']:,} ({clips:,} clips)"]
    lines += [f"- data: {_values(config['data'])}"]
    lines += [f"- {key}: {_values(config[key])}" for key in SHOWN_KEYS if config.get(key) not in (None, {})]
    if config.get("start"):
        lines.append(f"- started from: {_values(config['start'])}")
    if metrics.get("loss") is not None:
        lines.append(f"- training loss, mean of the last steps: {metrics['loss']:.4g}")
    if metrics.get("validation"):
        lines.append("- validation loss by timestep: " + ", ".join(f"{band}: {loss:.4g}" for band, loss in metrics["validation"].items()))
    return "\n".join(lines)


def _values(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} = {_values(entry)}" for key, entry in value.items() if entry is not None)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
