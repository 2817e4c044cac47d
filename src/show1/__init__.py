"""Text to video with the hybrid pixel and latent diffusion cascade of the Show-1 paper."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import ModelMixin

    from show1.cascade.call import Show1Output
    from show1.cascade.pipeline import Show1Pipeline
    from show1.cascade.settings import PUBLISHED, CascadeSettings, SamplerSettings
    from show1.models.unet import PixelUNet
    from show1.video import write_video

try:
    __version__ = version("show1")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0"

_PLACES = {
    "Show1Pipeline": "show1.cascade.pipeline",
    "Show1Output": "show1.cascade.call",
    "CascadeSettings": "show1.cascade.settings",
    "SamplerSettings": "show1.cascade.settings",
    "PUBLISHED": "show1.cascade.settings",
    "PixelUNet": "show1.models.unet",
    "write_video": "show1.video",
    "plan_memory": "show1.memory",  # in no import above: everything below it imports this module
    "ModelMixin": "diffusers",  # diffusers looks for it in the module that a saved pipeline names
}

__all__ = [
    "PUBLISHED",
    "CascadeSettings",
    "ModelMixin",
    "PixelUNet",
    "SamplerSettings",
    "Show1Output",
    "Show1Pipeline",
    "plan_memory",
    "write_video",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import show1` is quick."""
    if name not in _PLACES:
        raise AttributeError(f"module 'show1' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)
