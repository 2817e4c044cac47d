"""A clip as a source lists it: where its video, caption and whatever was computed ahead lie."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np

from show1.data.problems import UnusableError
from show1.data.storage import Part, read_part
from show1.errors import PromptError
from show1.text import check_prompt

VIDEO_ENDINGS = (".mp4", ".webm")
"""Kinds of video that are read."""
OTHER_ENDINGS = (".mov", ".m4v", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".ogv", ".gif")
"""Kinds of video that shards do not hold."""
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
"""Kinds of still picture that a table may list among its clips: they stand still."""
CAPTION_KEYS = ("caption", "text", "prompt", "name")
"""Keys and columns that hold a caption, the first that is there."""


@dataclass(frozen=True, slots=True)
class Record:
    """One clip."""

    key: str
    """Its name, as it is told of."""
    video: Part
    text: str | Part
    """The caption, or the .txt or .json part that holds it."""
    width: int = 0
    """Pixels of its upright picture; 0 where unknown."""
    height: int = 0
    seconds: float = 0.0
    """How long it is; 0 where unknown."""
    arrays: Mapping[str, Part] = field(default_factory=dict)
    """What was computed ahead, by name."""

    def is_picture(self) -> bool:
        """Whether it is a still picture."""
        return Path(urlparse(self.video.place).path).suffix.lower() in PICTURE_ENDINGS

    def video_bytes(self) -> bytes:
        """The video file.

        Raises:
            UnusableError: missing or cut off.
        """
        if not self.video.place:
            raise UnusableError("no video", f"neither {' nor '.join(VIDEO_ENDINGS)}")
        ending = Path(urlparse(self.video.place).path).suffix.lower()
        if ending in OTHER_ENDINGS:
            raise UnusableError("other kind", f"{ending}: make it .mp4, as with `ffmpeg -i a{ending} -c copy a.mp4`")
        return read_part(self.video)

    def caption(self) -> str:
        """The caption, without control characters.

        Raises:
            UnusableError: missing, empty, or not text.
        """
        text = self.text if isinstance(self.text, str) else _caption_of(self.text.place, read_part(self.text))
        try:
            caption = " ".join(check_prompt(text).split())
        except PromptError as error:
            raise UnusableError("bad caption", str(error)) from error
        if not caption:
            raise UnusableError("no caption")
        return caption

    def array(self, name: str) -> np.ndarray:
        """What was computed ahead under a name.

        Raises:
            UnusableError: it is not there, or damaged.
        """
        if name not in self.arrays:
            raise UnusableError("missing", f"no '{name}'")
        return read_array(read_part(self.arrays[name]), name)


def read_array(data: bytes, name: str) -> np.ndarray:
    """An array from the bytes of an .npy file; pickles are refused.

    Raises:
        UnusableError: damaged.
    """
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnusableError("unreadable", f"'{name}': {error}") from error


def _caption_of(name: str, data: bytes) -> str:
    """The caption in the bytes of a .txt or .json part; JSON is told by its brace, since a part of a shard has no ending."""
    try:
        text = data.decode("utf-8-sig")
        values = json.loads(text) if text.lstrip().startswith("{") else text
    except ValueError as error:
        raise UnusableError("bad caption", f"'{name}': {error}") from error
    return caption_in(values) if isinstance(values, dict) else str(values)


def caption_in(values: Mapping[str, Any]) -> str:
    """The caption among named values.

    Raises:
        UnusableError: none there.
    """
    for key in CAPTION_KEYS:
        if isinstance(values.get(key), str):
            return str(values[key])
    raise UnusableError("no caption", f"none of {', '.join(CAPTION_KEYS)} among {', '.join(map(str, values)) or 'nothing'}")
