"""Working in smaller portions, where memory is short."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Thrift:
    """What is computed in smaller portions. All but `tiling` gives the same pictures within rounding."""

    apart: tuple[str, ...] = ()
    """Samplers (keyframes, interpolation, ...) whose guided and unguided halves are computed one after the other."""
    windows: int | None = None
    """Windows that interpolation denoises at a time; all at once where None."""
    tiling: bool = False
    """The VAE works tile by tile (diffusers' `enable_tiling`), which changes pictures a little along the tiles' borders."""
