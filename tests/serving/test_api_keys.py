"""Keys: who is let in, what each may, and where the server refuses to listen."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from typer.testing import CliRunner, Result

from servers import client, in_thread
from show1.cli import app
from show1.errors import SettingsError
from show1.serving.app import Parts
from show1.serving.keys import KeyStore
from show1.serving.offer import Offer
from show1.serving.server import Serving, serve
from show1.serving.store import JobStore, Limits

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def keys(store: JobStore) -> KeyStore:
    return KeyStore(store.database)


@pytest.fixture
def keyed(store: JobStore, offer: Offer) -> Iterator[str]:
    """A server that wants keys."""
    with in_thread(Parts(store, offer, keyed=True)) as address:
        yield address


def test_keys_are_made_listed_and_revoked_and_only_their_hashes_are_kept(tmp_path: Path) -> None:
    made = run("keys", "create", "ann", "--store", tmp_path, "--max-open", 2)
    key = made.output.strip()
    assert made.exit_code == 0 and re.fullmatch(r"sk-show1-[\w-]{43}", key)
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert "ann" in run("keys", "list", "--store", tmp_path).output
    store = KeyStore(JobStore(tmp_path).database)
    found = store.check(key)
    assert found is not None and (found.name, found.limits.max_open) == ("ann", 2)
    assert run("keys", "revoke", "ann", "--store", tmp_path).exit_code == 0
    assert store.check(key) is None and store.named("ann") is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", ""), "1 to 64 letters"),
        (("create", "a b"), "'a b'"),
        (("create", "ann"), "named 'ann' already"),
        (("create", "bob", "--max-open", "0"), "0 jobs"),
        (("revoke", "eve"), "no key named 'eve'"),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    assert run("keys", "create", "ann", "--store", tmp_path).exit_code == 0
    result = run("keys", *arguments, "--store", tmp_path)
    assert result.exit_code == 1 and text in " ".join(result.output.split())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Bearer sk-show1-wrong", "sk-show1-wrong", "Bearer \xff"])
def test_nobody_is_let_in_without_a_key(keyed: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for path in ("/v1/videos", "/v1/videos/video_0", "/v1/models", "/metrics"):
        answer = httpx.get(f"{keyed}{path}", headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"
    assert httpx.post(f"{keyed}/v1/videos", json={"prompt": "a"}, headers=headers).status_code == 401  # type: ignore[arg-type]
    assert httpx.get(f"{keyed}/healthz").status_code == 200


def test_each_key_sees_its_own_videos_only_until_it_is_revoked(keyed: str, keys: KeyStore) -> None:
    ann, bob = (client(keyed, keys.create(name, Limits()), max_retries=0) for name in ("ann", "bob"))
    made = ann.videos.create(prompt="a rocket", extra_headers={"Idempotency-Key": "1"})
    assert bob.videos.create(prompt="a turtle", extra_headers={"Idempotency-Key": "1"}).id != made.id
    assert [video.id for video in ann.videos.list()] == [made.id]
    for ask in (bob.videos.retrieve, bob.videos.delete, bob.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            ask(made.id)
    keys.revoke("ann")
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        ann.videos.retrieve(made.id)


def test_a_key_may_have_so_many_jobs_open_and_make_so_many_a_minute(keyed: str, keys: KeyStore) -> None:
    few = client(keyed, keys.create("few", Limits(max_open=1)), max_retries=0)
    made = few.videos.create(prompt="a rocket")
    with pytest.raises(openai.RateLimitError, match="1 of your jobs"):
        few.videos.create(prompt="a rocket")
    few.post(f"/videos/{made.id}/cancel", cast_to=object)
    few.videos.create(prompt="a rocket")

    slow = client(keyed, keys.create("slow", Limits(per_minute=1)), max_retries=0)
    slow.videos.create(prompt="a rocket")
    with pytest.raises(openai.RateLimitError, match="1 jobs a minute") as refused:
        slow.videos.create(prompt="a rocket")
    assert 50 <= int(refused.value.response.headers["Retry-After"]) <= 62


def test_others_may_not_reach_a_server_without_keys(tmp_path: Path, keys: KeyStore, store: JobStore) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(SettingsError, match="without an API key"):
            serve(Serving(store=tmp_path / "none", host=host, workers=0))
    keys.create("ann", Limits())
    keys.revoke("ann")
    with pytest.raises(SettingsError, match="show1 keys create"):
        serve(Serving(store=store.folder, host="0.0.0.0", workers=0))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--model", "no/such/folder/at/all"), "no/such/folder/at/all"),
        (("--store", "/dev/null/jobs"), "job store '/dev/null/jobs/jobs.sqlite3' cannot be opened"),
    ],
)
def test_a_server_that_cannot_be(tmp_path: Path, options: tuple[str, str], text: str) -> None:
    result = run("serve", "--store", tmp_path, "--workers", 0, "--no-page", *options)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert text in " ".join(result.output.split())


def test_a_model_whose_index_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"settings": ')
    result = run("serve", "--store", tmp_path, "--workers", 0, "--no-page", "--model", tmp_path)
    assert result.exit_code == 1 and "model_index.json cannot be read" in " ".join(result.output.split())


def test_the_server_itself_never_loads_torch() -> None:
    code = "import sys; import show1.serving.server, show1.serving.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_port_that_is_taken(tmp_path: Path, quiet: str) -> None:
    result = run("serve", "--store", tmp_path, "--workers", 0, "--no-page", "--port", quiet.rsplit(":", 1)[1])
    assert result.exit_code == 1 and "choose another with --host or --port" in " ".join(result.output.split())
