"""`show1 serve`, `show1 ui` and `show1 keys`."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from show1.cli import options
from show1.cli.common import err, for_people, out
from show1.errors import SettingsError

Store = Annotated[Path, typer.Option(help="Folder of the jobs, their videos and the API keys.")]
STORE = Path("show1-jobs")


def _need(*modules: str, extra: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise SettingsError(f"{', '.join(missing)} missing: install them with pip install 'show1[{extra}]'")


@for_people
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on. One that others can reach needs an API key: `show1 keys create`.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any that is free.", min=0, max=65535)] = 8000,
    model: options.Model = None,
    store: Store = STORE,
    max_queue: Annotated[int, typer.Option(help="Jobs that may wait; more are refused with 429.", min=1)] = 100,
    workers: Annotated[int, typer.Option(help="Processes that make videos, each with the model loaded once.", min=0)] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each worker.", min=1)] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    compile: options.Compile = False,
    page: Annotated[bool, typer.Option(help="Also show the web page, at /ui.")] = True,
) -> None:
    """Serve videos over HTTP, as OpenAI's Videos API does."""
    _need("fastapi", "uvicorn", "prometheus_client", "multipart", extra="serve")
    if page and find_spec("gradio") is None:
        err.print("note: no web page: it needs pip install 'show1\\[ui]'")
        page = False
    _run(
        host=host,
        port=port,
        model=model,
        store=store,
        max_queue=max_queue,
        workers=workers,
        threads=threads,
        device=device,
        dtype=dtype,
        compiled=compile,
        page=page,
    )


@for_people
def ui(
    port: Annotated[int, typer.Option(help="Port; 0 for any that is free.", min=0, max=65535)] = 7860,
    model: options.Model = None,
    store: Store = STORE,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Make videos on a web page, on this machine."""
    _need("fastapi", "uvicorn", "prometheus_client", "multipart", "gradio", extra="ui")
    _run(port=port, model=model, store=store, threads=threads, device=device, dtype=dtype, browser=browser)


def _run(**chosen: Any) -> None:
    from show1.serving.server import Serving
    from show1.serving.server import serve as run_server

    how = Serving(**chosen)

    def tell(url: str) -> None:
        page = f" · page {url}/ui/" if how.page else ""
        out.print(f"API {url}/v1{page} · jobs in {how.store} · Ctrl-C stops", soft_wrap=True, markup=False)

    run_server(how, tell)


keys = typer.Typer(help="API keys of a server.", no_args_is_help=True)


def _key_store(store: Path) -> Any:
    from show1.serving.database import Database
    from show1.serving.keys import KeyStore

    return KeyStore(Database(store / "jobs.sqlite3"))


@keys.command()
@for_people
def create(
    name: Annotated[str, typer.Argument(help="Whose or what for.")],
    store: Store = STORE,
    max_open: Annotated[int, typer.Option(help="Jobs it may have queued or running at a time.")] = 32,
    per_minute: Annotated[int, typer.Option(help="Jobs it may make a minute.")] = 120,
) -> None:
    """Make a key. It is shown once; only its hash is kept. Once there is a key, a server that is started lets nobody in without one."""
    from show1.serving.store import Limits

    key = _key_store(store).create(name, Limits(max_open=max_open, per_minute=per_minute))
    out.print(key, soft_wrap=True, markup=False)


@keys.command("list")
@for_people
def list_keys(store: Store = STORE) -> None:
    """List keys by name."""
    table = Table("name", "made", "open jobs", "a minute", "revoked")
    for key in _key_store(store).all():
        limits = key.limits
        table.add_row(key.name, _day(key.created_at), str(limits.max_open), str(limits.per_minute), _day(key.revoked_at))
    out.print(table)


@keys.command()
@for_people
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")], store: Store = STORE) -> None:
    """Make a key useless from now on. Its jobs and videos stay."""
    _key_store(store).revoke(name)
    out.print(f"revoked: {name}", markup=False)


def _day(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
