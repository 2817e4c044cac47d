"""Servers that are killed, stopped and doubled while they work: every job is made, and none twice."""

from functools import partial
from pathlib import Path

import httpx
import psutil

from servers import Process, wait_for
from show1.serving.job import Job
from show1.serving.store import JobStore

STAGES = ["keyframes", "interpolation", "pixel", "latent"]


SLOW = {"pixel": 60}
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


def took_another(store: JobStore, ids: list[str], before: int) -> bool:
    return happened(store, ids, "started", "resumed") > before


def all_completed(store: JobStore, ids: list[str]) -> bool:
    return all(job_of(store, job).state == "completed" for job in ids)


def made_once(store: JobStore, ids: list[str]) -> None:
    """Every job is completed, once, with every stage finished once, and its video is whole."""
    for job in ids:
        kinds = [what for _, what in store.history(job) if what not in ("resumed", "put back", "started")]
        assert kinds == ["accepted", *STAGES, "completed"]
        assert (store.files(job) / "video.mp4").stat().st_size > 1000


def test_killed_servers_lose_nothing_and_make_nothing_twice(saved_pipeline: Path, tmp_path: Path) -> None:
    store, ids = JobStore(tmp_path / "jobs"), list[str]()
    for number in range(2):
        server = Process(tmp_path / "jobs", saved_pipeline, "--no-page").wait_until_up()
        ids += [ask(server.address, 2 * number + n, steps={"pixel": 20}) for n in range(2)]
        assert ask(server.address, 2 * number, steps={"pixel": 20}) == ids[-2]
        taken = happened(store, ids, "started", "resumed")
        wait_for(partial(took_another, store, ids, taken))
        server.kill()
    with Process(tmp_path / "jobs", saved_pipeline, "--no-page"):
        wait_for(lambda: all_completed(store, ids))
    assert sorted(job.id for job in store.page(None)[0]) == sorted(ids)
    made_once(store, ids)
    assert happened(store, ids, "resumed") == 2  # each kill hit a job at work


def test_a_stopped_server_puts_its_job_back_and_the_next_one_goes_on(saved_pipeline: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with Process(tmp_path / "jobs", saved_pipeline, "--no-page") as server:
        job = ask(server.address, 1, steps=SLOW)
        with httpx.stream("GET", f"{server.address}/v1/videos/{job}/events", timeout=60) as events:
            wait_for(lambda: job_of(store, job).stages == ("keyframes", "interpolation"))
            assert server.stop() == 0
            events.read()  # the stream ends with the server
    found = job_of(store, job)
    assert found.state == "queued" and found.progress > 0 and store.history(job)[-1][1] == "put back"
    with Process(tmp_path / "jobs", saved_pipeline, "--no-page"):
        wait_for(lambda: all_completed(store, [job]))
    made_once(store, [job])


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
    server = Process(tmp_path / "jobs", tmp_path / "no-model", "--no-page")
    assert server.process.wait(60) == 1
    assert "Traceback" not in server.said() and "no-model" in server.said()
