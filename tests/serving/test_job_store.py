"""The job store and its claims, with real files and real processes."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from show1.errors import DataError
from show1.serving.claims import MOST_CRASHES, Claim, claim, note_crash
from show1.serving.job import Job, Order
from show1.serving.refusals import RefusedError
from show1.serving.store import UNLIMITED, JobStore

ORDER = Order(model="tiny", prompt="a rocket", seed=1, size="48x32", frames=5, fps=7.5)
HOLD = """
import sys, time
from pathlib import Path
from show1.serving.claims import claim
from show1.serving.store import JobStore
taken = claim(JobStore(Path(sys.argv[1])), "tiny")
print(taken.job.id, flush=True)
time.sleep(600)
"""


def add(store: JobStore, **changes: object) -> Job:
    return store.add(replace(ORDER, **changes), "", UNLIMITED)  # type: ignore[arg-type]


def took(store: JobStore, model: str = "tiny") -> Claim:
    taken = claim(store, model)
    assert taken is not None
    return taken


def what(store: JobStore, job: Job) -> list[str]:
    return [what for _, what in store.history(job.id)]


def state(store: JobStore, job: Job) -> str:
    found = store.get(job.id)
    assert found is not None
    return found.state


def test_jobs_are_taken_in_order_once_and_by_their_own_model(store: JobStore) -> None:
    first, other, second = add(store), add(store, model="big"), add(store)
    held = [took(store), took(store)]
    assert [taken.job.id for taken in held] == [first.id, second.id]
    assert claim(store, "tiny") is None
    assert took(store, "big").job == store.get(other.id)


def test_many_workers_at_once_never_have_one_job_twice(tmp_path: Path) -> None:
    store = JobStore(tmp_path, max_queue=100)
    ids = [add(store).id for _ in range(30)]
    with ThreadPoolExecutor(8) as pool:  # each with a connection and a lock of its own
        taken = [t for t in pool.map(lambda _: claim(JobStore(tmp_path), "tiny"), range(60)) if t is not None]
    assert sorted(t.job.id for t in taken) == sorted(ids)


def test_a_dead_workers_job_is_taken_up_again_and_a_living_ones_is_not(store: JobStore) -> None:
    job = add(store)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(store.folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline().strip() == job.id
        assert state(store, job) == "in_progress" and claim(store, "tiny") is None
        holder.kill()
    again = took(store)
    assert again.job.id == job.id
    again.complete()
    assert what(store, job) == ["accepted", "started", "resumed", "completed"]
    assert claim(store, "tiny") is None


def test_a_job_that_is_put_back_comes_first_again(store: JobStore) -> None:
    first, _ = add(store), add(store)
    taken = took(store)
    taken.report(0.5, "pixel")
    taken.put_back()
    assert state(store, first) == "queued"
    again = took(store)
    assert again.job.id == first.id and again.job.progress == 0.5
    assert not again.report(0.4, "pixel")
    assert store.get(first.id).progress == 0.5  # type: ignore[union-attr]  # never backwards


def test_a_stage_is_written_down_once(store: JobStore) -> None:
    job = add(store)
    taken = took(store)
    for stage in ("keyframes", "keyframes", "interpolation"):
        taken.stage_done(stage)
    assert store.get(job.id).stages == ("keyframes", "interpolation")  # type: ignore[union-attr]
    assert what(store, job)[2:] == ["keyframes", "interpolation"]


def test_a_job_that_kills_its_workers_is_given_up(store: JobStore) -> None:
    job = add(store)
    for _ in range(MOST_CRASHES):
        taken = took(store)
        taken.lock.release()  # as its death would
        note_crash(store, os.getpid())
    assert claim(store, "tiny") is None
    found = store.get(job.id)
    assert found is not None and (found.state, found.error_code) == ("failed", "worker_crashed")


def test_a_running_job_that_is_deleted_vanishes_and_goes_with_its_files_when_it_stopped(store: JobStore) -> None:
    job = add(store)
    taken = took(store)
    store.files(job.id).mkdir(parents=True)
    store.delete(job.id)
    assert store.get(job.id) is None and store.files(job.id).exists()
    assert taken.report(0.1, "keyframes")
    taken.stopped()
    assert not store.files(job.id).exists() and store.history(job.id) == []


def test_a_job_that_ended_stays_as_it_ended(store: JobStore) -> None:
    job = add(store)
    took(store).complete()
    store.cancel(job.id)
    assert state(store, job) == "completed" and what(store, job)[-1] == "completed"


def test_an_error_undoes_a_transaction(store: JobStore) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.database.writing() as db:
        db.execute("INSERT INTO totals VALUES ('lost', 1, 1)")
        db.execute("INSERT INTO totals VALUES ('lost', 1, 1)")
    assert store.database.connection().execute("SELECT count(*) FROM totals").fetchone()[0] == 0


def test_the_queues_bound_holds_for_all_servers_together(store: JobStore) -> None:
    other = JobStore(store.folder, max_queue=3)
    for one in (store, other, store):
        add(one)
    with pytest.raises(RefusedError, match="3 jobs are waiting") as refused:
        add(other)
    assert refused.value.status == 429 and refused.value.headers()["Retry-After"] == "10"


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 30, None])
def test_a_store_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "jobs.sqlite3"
    if content is None:
        with sqlite3.connect(path) as later:
            later.execute("PRAGMA user_version = 99")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"jobs\.sqlite3"):
        JobStore(tmp_path)
