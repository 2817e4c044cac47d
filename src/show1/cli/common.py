"""What all commands share: errors for people, quiet libraries, loading a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer
from rich.console import Console

from show1.errors import SettingsError, Show1Error

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def for_people(command: Callable[..., None]) -> Callable[..., None]:
    """Print errors that are meant for people without a traceback, and leave with a status that is not zero."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Show1Error as error:
            err.print(f"[red]error:[/red] {_escape(str(error))}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            err.print("stopped")
            raise typer.Exit(130) from None

    return run


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def number_or_table(text: str | None, convert: Callable[[str], Any], option: str) -> Any:
    """`20`, or `keyframes=20,latent=8`."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return convert(text)
        return {name.strip(): convert(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise SettingsError(f"{option} takes a number, or stages with numbers such as keyframes=20,latent=8; not '{text}'") from None


def quiet_libraries() -> None:
    """Keep the libraries' advice for developers off a user's screen."""
    import logging
    import warnings

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(level=logging.WARNING, format="note: %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def load_model(model: str | None, device: str | None, dtype: str | None) -> Any:
    import torch

    from show1 import Show1Pipeline
    from show1.cascade.folder import best_device, best_dtype

    where = chosen_device(device) if device else best_device()
    names = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype is not None and dtype not in names:
        raise SettingsError(f"unknown dtype '{dtype}'; known: {', '.join(names)}")
    kind = names[dtype] if dtype else best_dtype(where)
    if model == "published":
        return Show1Pipeline.from_published(dtype=kind).to(where)
    return Show1Pipeline.from_pretrained(None if model in (None, "bundled") else model, dtype=kind).to(where)


def chosen_device(name: str) -> Any:
    """The device of a name.

    Raises:
        SettingsError: it is not here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"the device '{name}' cannot be used here: {str(error).splitlines()[0]}") from None
    return device
