"""Request bodies: JSON, multipart or form fields, never larger than allowed."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from show1.serving.refusals import RefusedError, shown

_NESTED = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
MOST_FIELDS = 64


class TooLargeError(RefusedError):
    """A body that is larger than allowed."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the request is larger than {most} bytes, which is the most this server takes", "request_too_large")


class BodyLimit:
    """Middleware that reads no more of a body than allowed.

    Args:
        app: what answers.
        most: bytes.
        path: where it holds.
    """

    def __init__(self, app: ASGIApp, most: int, path: str) -> None:
        self.app, self.most, self.path = app, most, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or not scope["path"].startswith(self.path):
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        size = self.most + 1 if announced.isdigit() and int(announced[:18]) > self.most else 0

        async def limited() -> Message:
            nonlocal size
            if size > self.most:
                raise TooLargeError(self.most)
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most:
                raise TooLargeError(self.most)
            return message

        await self.app(scope, limited, send)


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a body, whichever of the three forms it has; `a[b]` of a form is field b of field a.

    Raises:
        RefusedError: the body cannot be read (400), or is of another kind (415).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        try:
            async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
                return await _from_form(form)
        except HTTPException as error:
            raise RefusedError(400, f"the form cannot be read: {error.detail}", "malformed_body") from error
        except (UnicodeDecodeError, LookupError) as error:
            raise RefusedError(400, "the form is not in an encoding that can be read; use UTF-8", "malformed_body") from error
    if kind not in ("application/json", ""):
        message = f"a body of type {shown(kind)} cannot be read; send application/json or multipart/form-data"
        raise RefusedError(415, message, "unsupported_media_type")
    return _from_json(await request.body())


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:  # wrong encodings and numbers that are too long are ValueErrors too
        raise RefusedError(400, f"the body is no JSON: {shown(str(error), 200)}", "malformed_body") from None
    if not isinstance(values, dict):
        raise RefusedError(400, f"the body must be a JSON object, not {shown(values)}", "malformed_body")
    return values


async def _from_form(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name != "input_reference":
            raise RefusedError(400, f"{shown(name)} must be text, not a file", "invalid_value", param="prompt")
        nested = _NESTED.fullmatch(name)
        if nested is None:
            target, key = fields, name
        else:
            target, key = fields.setdefault(nested[1], {}), nested[2]
        if not isinstance(target, dict) or key in target:
            raise RefusedError(400, f"the form has {shown(name)} twice", "malformed_body")
        target[key] = await value.read() if isinstance(value, UploadFile) else value
    return fields
