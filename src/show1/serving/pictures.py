"""Reference pictures that come with a request: a file of a form, or a data address in JSON."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image

from show1.serving.refusals import RefusedError

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 40_000_000
_DATA = re.compile(r"data:image/[a-z+.-]+;base64,")
_NAME = "input_reference"


def read_reference(value: Any) -> bytes:
    """A picture's file, found to be one.

    Args:
        value: the file's bytes, or `{"image_url": "data:image/png;base64,..."}`.

    Raises:
        RefusedError: it is something else, damaged or too large (400).
    """
    data = value if isinstance(value, bytes) else _from_address(value)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise _bad(f"the picture has {picture.width}x{picture.height} pixels; at most {MOST_PIXELS // 10**6} million are taken")
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _bad(f"the picture cannot be read: it must be a whole {', '.join(FORMATS)} file") from error
    return data


def _from_address(value: Any) -> bytes:
    address = value.get("image_url") if isinstance(value, Mapping) else None
    found = _DATA.match(address) if isinstance(address, str) else None
    if found is None or address is None:
        raise _bad('send a file in a form, or {"image_url": "data:image/png;base64,..."}; nothing is fetched from elsewhere')
    try:
        return base64.b64decode(address[found.end() :], validate=True)
    except binascii.Error as error:
        raise _bad("image_url is no valid base64") from error


def _bad(message: str) -> RefusedError:
    return RefusedError(400, f"{_NAME}: {message}", "invalid_value", param=_NAME)
