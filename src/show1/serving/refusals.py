"""What the API answers when it cannot do what was asked, in OpenAI's error shape."""

from __future__ import annotations

import math
from typing import Any


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: what was wrong, with which value, and the way out.
        code: the same for programs.
        param: the parameter that was wrong.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"message": self.message, "type": kind(self.status), "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def kind(status: int) -> str:
    """OpenAI's name for a class of errors."""
    names = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return names.get(status, "invalid_request_error" if status < 500 else "server_error")


def shown(value: Any, length: int = 80) -> str:
    """A value as it may stand in a message: one line, printable, not long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"


def not_found(job_id: str) -> RefusedError:
    """There is no such video, or it is another key's."""
    return RefusedError(404, f"no video with the id {shown(job_id)}", "video_not_found", param="video_id")
