"""The server's app: who may ask, how errors look, and all routes together."""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import show1
from show1.serving.api import Caller, make_router
from show1.serving.bodies import BodyLimit
from show1.serving.keys import KeyStore
from show1.serving.metrics import Metrics, Timing
from show1.serving.offer import Offer
from show1.serving.refusals import RefusedError, shown
from show1.serving.store import UNLIMITED, JobStore
from show1.serving.workers import Workers

PAGE = "/ui"


@dataclass
class Parts:
    """What a server is made of."""

    store: JobStore
    offer: Offer
    workers: Workers | None = None
    """None where other processes work on the store."""
    keyed: bool = False
    """Whether every request needs a key."""
    max_request_bytes: int = 10_000_000
    stopping: bool = False
    """Set when the server is about to stop, so that streams end."""


def make_app(parts: Parts, *, page: bool = False) -> FastAPI:
    """The app that uvicorn runs.

    Args:
        parts: what it is made of; its workers start and stop with the app.
        page: also show the web page, at `/ui`.
    """
    keys = KeyStore(parts.store.database)
    states = parts.workers.states if parts.workers else list
    metrics = Metrics(parts.store, states)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if parts.workers:
            parts.workers.start()
        yield
        parts.stopping = True
        if parts.workers:
            await run_in_threadpool(parts.workers.stop)

    # No pages of documentation: they would load scripts from elsewhere. The schema is there for other tools.
    app = FastAPI(title="show1", version=show1.__version__, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)

    def caller(authorization: Annotated[str | None, Header()] = None) -> Caller:
        return _caller(keys, authorization) if parts.keyed else Caller("", UNLIMITED)

    app.include_router(make_router(parts.store, parts.offer, caller, lambda: parts.stopping))

    @app.get("/healthz")
    def health() -> JSONResponse:
        working = states()
        healthy = not working or any(state != "down" for state in working)
        values = {"status": "ok" if healthy else "workers down", "model": parts.offer.name, "workers": working, "show1": show1.__version__}
        return JSONResponse(values, 200 if healthy else 503)

    @app.get("/metrics", dependencies=[Depends(caller)])
    def figures() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    if page:
        _mount_page(app, parts, keys)
    _handle_errors(app)
    app.add_middleware(BodyLimit, most=parts.max_request_bytes, path="/v1/")
    if not parts.keyed:
        app.add_middleware(OwnMachine)
    app.add_middleware(Timing, requests=metrics.requests)
    return app


def _mount_page(app: FastAPI, parts: Parts, keys: KeyStore) -> None:
    from show1.serving.page import mount_page

    @app.get("/", include_in_schema=False)
    @app.get(PAGE, include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse(f"{PAGE}/")

    mount_page(app, PAGE, parts, keys)


def _caller(keys: KeyStore, authorization: str | None) -> Caller:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RefusedError(401, "an API key is needed: send it as 'Authorization: Bearer sk-show1-…'", "missing_api_key")
    key = keys.check(token.strip())
    if key is None:
        raise RefusedError(401, "this API key is not known here, or was revoked", "invalid_api_key")
    return Caller(key.name, key.limits)


def answer(refusal: RefusedError) -> JSONResponse:
    """A refusal as an HTTP answer."""
    return JSONResponse(refusal.body(), refusal.status, refusal.headers())


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    def failed(request: Request, error: HTTPException) -> JSONResponse:
        what = {404: f"there is nothing at {shown(request.url.path)}", 405: f"{request.method} is not possible here"}
        refusal = RefusedError(
            error.status_code, what.get(error.status_code, str(error.detail)), "not_found" if error.status_code == 404 else None
        )
        return JSONResponse(refusal.body(), refusal.status, {**(error.headers or {}), **refusal.headers()})

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = error.errors()[0]
        name = str(first["loc"][-1])
        return answer(RefusedError(400, f"{name}: {first['msg']}, not {shown(first.get('input'))}", "invalid_value", param=name))

    @app.exception_handler(sqlite3.OperationalError)
    def unwritable(request: Request, error: sqlite3.OperationalError) -> JSONResponse:
        return answer(RefusedError(503, f"the job store cannot be used now: {error}", "store_unavailable", retry_after=5))

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> JSONResponse:
        return answer(RefusedError(500, "an error in the server; its log says more", "internal_error"))


class OwnMachine:
    """Middleware that, where no keys are used, keeps web pages from elsewhere out of a server on the user's own machine.

    A browser would let any page post to 127.0.0.1; but it tells the page's origin, and the name that was looked up.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] in ("http", "websocket"):
            headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
            host, origin = headers.get(b"host", ""), headers.get(b"origin")
            if not is_own(urlsplit(f"//{host}").hostname) or (origin is not None and urlsplit(origin).netloc != host):
                refusal = RefusedError(403, "without API keys only this machine's own pages and programs are let in", "not_local")
                await answer(refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_own(host: str | None) -> bool:
    """Whether a host's name or address is this machine's own, which nobody else can reach."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
