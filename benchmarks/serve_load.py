"""How `show1 serve` bears many clients: 200 of them make jobs and look at them for a minute, on a tiny cascade.

    python benchmarks/serve_load.py [CLIENTS] [SECONDS]

Prints answers by status, their times, jobs made, and the server's and its worker's memory at the start, at the highest and at the end.
"""

import asyncio
import collections
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import tiny
from servers import Process

JOB = {"prompt": "a rocket flies over the ocean", "stop_after": "keyframes"}


async def be_a_client(http: httpx.AsyncClient, until: float, statuses: collections.Counter, times: list[float], done: set[str]) -> None:
    """Make a job and look at it as often as the server asks, again and again."""

    async def ask(method: str, path: str, **options: object) -> httpx.Response:
        started = time.perf_counter()
        answer = await http.request(method, path, **options)  # type: ignore[arg-type]
        times.append(time.perf_counter() - started)
        statuses[answer.status_code] += 1
        return answer

    while time.monotonic() < until:
        answer = await ask("POST", "/v1/videos", json=JOB)
        if answer.status_code == 429:
            await asyncio.sleep(min(float(answer.headers["Retry-After"]), 5.0))
            continue
        job = answer.json()
        while job.get("status") in ("queued", "in_progress") and time.monotonic() < until:
            await asyncio.sleep(float(answer.headers["openai-poll-after-ms"]) / 1000)
            answer = await ask("GET", f"/v1/videos/{job['id']}")
            job = answer.json()
        if job.get("status") == "completed":
            done.add(job["id"])


def memory(server: Process) -> tuple[int, int]:
    """MB that the server and its worker hold."""
    process = psutil.Process(server.process.pid)
    return process.memory_info().rss // 10**6, sum(child.memory_info().rss for child in process.children(recursive=True)) // 10**6


async def load(server: Process, clients: int, seconds: float) -> dict[str, object]:
    """All clients at once; the figures."""
    statuses: collections.Counter[int] = collections.Counter()
    times, done, held = list[float](), set[str](), [memory(server)]
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=server.address, timeout=60, limits=limits) as http:
        asking = asyncio.gather(*(be_a_client(http, until, statuses, times, done) for _ in range(clients)))
        while not asking.done():
            await asyncio.sleep(1)
            held.append(memory(server))
        await asking
    ordered = sorted(times)
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": dict(sorted(statuses.items())),
        "median_ms": round(1000 * statistics.median(ordered)),
        "99th_percentile_ms": round(1000 * ordered[int(0.99 * len(ordered))]),
        "seen_completed": len(done),
        "server_mb": {"start": held[0][0], "highest": max(a for a, _ in held), "end": held[-1][0]},
        "worker_mb": {"start": held[0][1], "highest": max(b for _, b in held), "end": held[-1][1]},
    }


def main() -> None:
    """Start a server, load it, print the figures as JSON."""
    clients, seconds = int((sys.argv[1:] or [200])[0]), float((sys.argv[2:] or [60])[0])
    with tempfile.TemporaryDirectory() as folder:
        tiny.make_pipeline(Path(folder) / "tokenizer").save_pretrained(Path(folder) / "tiny")
        with Process(Path(folder) / "jobs", Path(folder) / "tiny", "--no-page") as server:
            while httpx.get(f"{server.address}/healthz").json()["workers"] != ["ready"]:
                time.sleep(0.2)
            print(json.dumps(asyncio.run(load(server, clients, seconds)), indent=1))


if __name__ == "__main__":
    main()
