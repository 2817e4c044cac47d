"""What all commands share: errors for people, quiet libraries, loading a model."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from show1.cascade.loading import load_model as load_model
from show1.cascade.loading import quiet_libraries as quiet_libraries
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


def named_model(model: str | None) -> str:
    """The model's name as a run keeps it: a folder's name holds from everywhere."""
    return "bundled" if model is None else str(Path(model).resolve()) if Path(model).is_dir() else model


def named_adapters(places: list[str] | None) -> dict[str, float]:
    """Folders of adapters with their weights, from `FOLDER` or `FOLDER:WEIGHT`, named so that they hold from everywhere."""
    found = {}
    for place in places or ():
        folder, _, weight = place.rpartition(":")
        try:
            strength = float(weight) if folder else 1.0
        except ValueError:
            folder, strength = place, 1.0  # the colon is a part of the name
        if not math.isfinite(strength):
            raise SettingsError(f"--adapter {place}: the weight must be a number such as 0.5")
        name = folder or place
        found[str(Path(name).resolve()) if Path(name).is_dir() else name] = strength
    return found


def go_on(run: Any, advance: Callable[[], object]) -> None:
    """Let a run go on to its end by `advance`; where it is interrupted, say how it goes on."""
    try:
        advance()
    except KeyboardInterrupt:
        done = ", ".join(run.finished) or "nothing"
        err.print(f"stopped ({done} finished); go on with: show1 resume {shlex.quote(str(run.folder))}", soft_wrap=True, markup=False)
        raise typer.Exit(130) from None
