"""The web page's form: what can be asked for, and the order that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from show1.cascade.settings import STAGES
from show1.serving.job import Order
from show1.serving.offer import Offer
from show1.serving.ordering import make_order
from show1.serving.pictures import read_reference

TITLES = {
    "keyframes": "1 · keyframes",
    "interpolation": "2 · interpolation",
    "pixel": "3 · pixel upscaling",
    "latent": "4 · latent upscaling",
}


def make_form(offer: Offer) -> tuple[list[Any], gr.Button, gr.Button]:
    """The fields, in the order that `order_of` takes their values in, and the buttons that make and cancel."""
    settings = offer.settings
    prompt = gr.Textbox(label="prompt", placeholder="a rocket flies over the ocean at night", lines=2, max_lines=4, elem_id="prompt")
    gr.Markdown(_can_draw(offer))
    with gr.Row():
        seed = gr.Textbox(label="seed", placeholder="random", elem_id="seed")
        gr.Dropdown([offer.name], label="model", value=offer.name, interactive=False)
    with gr.Accordion("settings", open=False):
        last = gr.Dropdown([(TITLES[stage], stage) for stage in STAGES], value=STAGES[-1], label="last stage")
        own = int(offer.seconds())
        seconds = gr.Slider(1, max(own, offer.most_seconds), own, step=1, label="length in seconds", elem_id="seconds")
        negative = gr.Textbox(label="what to avoid")
        steps = gr.Textbox(label="denoising steps of the keyframes", placeholder=str(settings.keyframes.steps))
        guidance = gr.Textbox(label="guidance of the keyframes", placeholder=str(settings.keyframes.guidance))
        # The file as it is: a mode would have it converted.
        picture: Any = gr.Image(label="first frame", type="filepath", image_mode=None, sources=["upload", "clipboard"], elem_id="picture")
    with gr.Row():
        make = gr.Button("make the video", variant="primary", elem_id="make")
        cancel = gr.Button("cancel", elem_id="cancel")
    return [prompt, seed, last, negative, steps, guidance, seconds, picture], make, cancel


def _can_draw(offer: Offer) -> str:
    kinds = {kind: words for kind, words in offer.vocabulary.items() if kind != "words"}
    return "\n".join(f"- *{kind}*: {', '.join(words)}" for kind, words in kinds.items())


def order_of(values: Sequence[Any], offer: Offer) -> tuple[Order, bytes | None]:
    """What the form asks for, and the file of a first frame; the picture's value is a path to where Gradio put it.

    Raises:
        RefusedError: a value that cannot work.
    """
    prompt, seed, last, negative, steps, guidance, seconds, path = (value or None for value in values)
    fields: dict[str, Any] = {"prompt": prompt or "", "seed": seed, "stop_after": last, "negative_prompt": negative, "seconds": seconds}
    fields |= {name: {"keyframes": number} for name, number in (("steps", steps), ("guidance", guidance)) if number}
    picture = None if path is None else read_reference(Path(path).read_bytes())
    return make_order({**fields, "input_reference": picture}, offer), picture
