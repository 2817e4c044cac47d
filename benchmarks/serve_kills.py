"""What `kill -9` does to `show1 serve` under load: it is killed 20 times while clients make jobs, on a tiny cascade.

    python benchmarks/serve_kills.py [KILLS]

Clients repeat a request that got no answer with the same Idempotency-Key. At the end every job that was accepted must be there
and completed once, with every stage finished once; else an error says which is not.
"""

import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import tiny
from servers import Process, wait_for
from show1.serving.store import JobStore

CLIENTS, PAUSE_SECONDS = 4, 2.0
STAGES = ["keyframes", "interpolation", "pixel", "latent"]


class Client(threading.Thread):
    """Makes jobs until it is told to stop; `accepted` are the ids it was given, by number."""

    def __init__(self, address: str, first: int) -> None:
        super().__init__(daemon=True)
        self.address, self.number, self.stopping = address, first, threading.Event()
        self.accepted: dict[int, str] = {}
        self.unanswered = 0

    def run(self) -> None:
        """Ask, and ask again where there was no answer."""
        while not self.stopping.is_set():
            body = {"prompt": f"a rocket flies over the ocean {self.number}", "seed": self.number}
            try:
                answer = httpx.post(f"{self.address}/v1/videos", json=body, headers={"Idempotency-Key": str(self.number)})
            except httpx.TransportError:
                self.unanswered += 1
                time.sleep(0.1)
                continue
            if answer.status_code == 429:
                time.sleep(1)
                continue
            assert answer.status_code == 200, answer.text
            self.accepted[self.number] = answer.json()["id"]
            self.number += CLIENTS
            time.sleep(PAUSE_SECONDS)


def starts(store: JobStore) -> int:
    """How often a job was taken up."""
    query = "SELECT count(*) FROM history WHERE what IN ('started', 'resumed')"
    return int(store.database.connection().execute(query).fetchone()[0])


def check(store: JobStore, accepted: list[str]) -> Counter[str]:
    """Every accepted job is there, was completed once, and every stage of it once. What happened, counted."""
    known = [row["id"] for row in store.database.connection().execute("SELECT id FROM jobs")]
    assert sorted(known) == sorted(accepted), set(accepted) ^ set(known)
    counted: Counter[str] = Counter()
    for job in known:
        kinds = [what for _, what in store.history(job)]
        counted.update(kinds)
        assert [kind for kind in kinds if kind not in ("started", "resumed")] == ["accepted", *STAGES, "completed"], kinds
        assert (store.files(job) / "video.mp4").stat().st_size > 1000
    return counted


def main() -> None:
    """Kill, start again, and count."""
    kills, chance = int((sys.argv[1:] or [20])[0]), random.Random(0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model, jobs = Path(folder) / "tiny", Path(folder) / "jobs"
        tiny.make_pipeline(Path(folder) / "tokenizer").save_pretrained(model)
        server, store = Process(jobs, model, "--no-page").wait_until_up(), JobStore(jobs)
        port = int(server.address.rsplit(":", 1)[1])
        clients = [Client(server.address, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(kills):
            before = starts(store)
            wait_for(lambda before=before: starts(store) > before)
            time.sleep(chance.uniform(0, 3))
            server.kill()
            server = Process(jobs, model, "--no-page", port=port).wait_until_up()
        for client in clients:
            client.stopping.set()
            client.join()
        accepted = [job for client in clients for job in client.accepted.values()]
        wait_for(lambda: all(job.state == "completed" for job in store.page(None, limit=10**6)[0]), 3600)
        server.stop()
        counted = check(store, accepted)
    figures = {"kills": kills, "unanswered": sum(c.unanswered for c in clients), "seconds": round(time.monotonic() - started)}
    print(json.dumps({**figures, **{kind: counted[kind] for kind in ("accepted", "started", "resumed", "completed")}}, indent=1))


if __name__ == "__main__":
    main()
