"""Every stage's training, by the name that configurations use."""

from __future__ import annotations

from collections.abc import Callable

from show1.training.autoencoding import Vae
from show1.training.layout_task import Layout
from show1.training.recognising import Recognising
from show1.training.rewording import Rewording
from show1.training.task import Task
from show1.training.tasks import FirstFrame, Interpolation, Keyframes, KeyframesImage, Latent, PixelUpscale
from show1.training.telling import Telling

TASKS: dict[str, Callable[..., Task]] = {
    "text": Telling,
    "rewording": Rewording,
    "layout": Layout,
    "keyframes-image": KeyframesImage,
    "keyframes": Keyframes,
    "interpolation": Interpolation,
    "first-frame": FirstFrame,
    "pixel": PixelUpscale,
    "vae": Vae,
    "latent": Latent,
    "recogniser": Recognising,
}
