"""Servers that are killed, stopped and doubled while they work: every job is made, and none twice."""

from pathlib import Path

import httpx
import psutil
from typer.testing import CliRunner

from servers import Process, wait_for
from show1.cascade.loading import load_model
from show1.cli import app
from show1.serving.claims import claim
from show1.serving.engine import Engine
from show1.serving.job import Job
from show1.serving.store import JobStore
from show1.serving.worker import Worker

STAGES = ("keyframes", "interpolation", "pixel", "latent")


SLOW = {"pixel": 30}
"""Steps that keep a stage at work long enough to be hit."""


def ask(address: str, number: int, **more: object) -> str:
    """Make a job; the same number is the same job, however often it is asked for."""
    body = {"prompt": f"a rocket flies over the ocean {number}", "seed": number, **more}
    answer = httpx.post(f"{address}/v1/videos", json=body, headers={"Idempotency-Key": str(number)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def job_of(store: JobStore, job_id: str) -> Job:
    found = store.get(job_id)
    assert found is not None
    return found


def happened(store: JobStore, ids: list[str], *kinds: str) -> int:
    return sum(what in kinds for job in ids for _, what in store.history(job))


def all_completed(store: JobStore, ids: list[str]) -> bool:
    return all(job_of(store, job).state == "completed" for job in ids)


def made_once(store: JobStore, ids: list[str]) -> None:
    """Every job is completed, once, with every stage finished once, and its video is whole."""
    for job in ids:
        kinds = [what for _, what in store.history(job) if what not in ("resumed", "put back", "started")]
        assert kinds == ["accepted", *STAGES, "completed"]
        assert (store.files(job) / "video.mp4").stat().st_size > 1000


def test_killed_and_stopped_servers_lose_nothing_and_make_nothing_twice(saved_pipeline: Path, tmp_path: Path) -> None:
    store, ids = JobStore(tmp_path / "jobs"), list[str]()
    with Process(tmp_path / "jobs", saved_pipeline, "--no-page") as server:
        ids += [ask(server.address, number, steps=SLOW) for number in range(2)]
        assert ask(server.address, 0, steps=SLOW) == ids[0]
        wait_for(lambda: job_of(store, ids[0]).stages == STAGES[:2])
        server.kill()
    with Process(tmp_path / "jobs", saved_pipeline, "--no-page") as server:
        ids.append(ask(server.address, 2))
        with httpx.stream("GET", f"{server.address}/v1/videos/{ids[1]}/events", timeout=120) as events:
            wait_for(lambda: job_of(store, ids[1]).stages == STAGES[:2])
            assert server.stop() == 0
            events.read()  # the stream ends with the server
    found = job_of(store, ids[1])
    assert found.state == "queued" and found.progress > 0 and store.history(ids[1])[-1][1] == "put back"
    worker = Worker(store, saved_pipeline.name, Engine(load_model(str(saved_pipeline), "cpu")))  # what the next server starts
    while (taken := claim(store, saved_pipeline.name)) is not None:
        worker.work(taken)
    assert all_completed(store, ids)
    assert sorted(job.id for job in store.page(None)[0]) == sorted(ids)
    made_once(store, ids)
    assert happened(store, ids[:1], "resumed") == 1 and happened(store, ids, "resumed", "put back") == 2


def test_a_running_job_can_be_cancelled(server: Process) -> None:
    store = JobStore(server.store)
    job = ask(server.address, 100, steps=SLOW)
    wait_for(lambda: job_of(store, job).stage == "pixel")
    httpx.post(f"{server.address}/v1/videos/{job}/cancel")
    wait_for(lambda: job_of(store, job).state == "cancelled")
    assert httpx.get(f"{server.address}/v1/videos/{job}/stages/keyframes").status_code == 200


def test_a_dead_worker_is_replaced_and_its_job_goes_on(server: Process) -> None:
    store = JobStore(server.store)
    job = ask(server.address, 200, steps=SLOW)
    wait_for(lambda: job_of(store, job).stage == "pixel")
    (worker,) = psutil.Process(server.process.pid).children()
    worker.kill()
    wait_for(lambda: job_of(store, job).crashes == 1)
    assert httpx.get(f"{server.address}/healthz").json()["workers"] != ["ready"]
    wait_for(lambda: all_completed(store, [job]))
    made_once(store, [job])
    assert httpx.get(f"{server.address}/healthz").json()["workers"] == ["ready"]


def test_two_servers_on_one_store_share_the_work(server: Process, saved_pipeline: Path) -> None:
    store = JobStore(server.store)
    with Process(server.store, saved_pipeline, "--no-page") as other:
        wait_for(lambda: httpx.get(f"{other.address}/healthz").json()["workers"] == ["ready"])
        ids = [ask((server, other)[n % 2].address, 300 + n) for n in range(8)]
        assert ask(other.address, 300) == ids[0]  # each knows what the other accepted
        wait_for(lambda: all_completed(store, ids))
    made_once(store, ids)
    assert happened(store, ids, "started") == len(ids) and happened(store, ids, "resumed", "put back") == 0


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--store", str(tmp_path / "jobs"), "--model", str(tmp_path / "no-model"), "--no-page"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit) and "no-model" in result.output
