"""Which source of clips a configuration asks for."""

from __future__ import annotations

from pathlib import Path

import torch

from show1.training.clips import ClipSource, EmojiSource
from show1.training.config import TrainConfig


def open_clips(config: TrainConfig, sprites: Path | None, device: torch.device, folder: Path) -> ClipSource:
    """Users' own clips where the configuration names a source, otherwise the emoji world.

    Args:
        config: of the run.
        sprites: the emoji world's sprites.
        device: where clips are drawn.
        folder: the run's, for the list of clips that could not be used.

    Raises:
        DataError: no clips, or no sprites.
    """
    if config.data.source is None:
        return EmojiSource.open(config.data, sprites, device)
    from show1.training.recorded import RecordedSource

    return RecordedSource(config, config.data.source, device, folder)
