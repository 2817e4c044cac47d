"""The API as OpenAI's own client speaks it, on a real server that makes real (tiny) videos."""

import io
import json
from pathlib import Path

import av
import httpx
import openai
import pytest
import torch
from PIL import Image

from servers import Process, client, wait_for
from show1.cli import app
from show1.runs.run import Run
from show1.serving.claims import claim
from show1.serving.job import Job
from show1.serving.store import JobStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PROMPT = "a rocket flies over the ocean"
STAGES = ["keyframes", "interpolation", "pixel", "latent"]
SMALL = {"stop_after": "keyframes"}


def frames_of(content: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(content)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def test_a_video_is_made_as_openai_clients_ask_for_it(videos: openai.OpenAI, saved_pipeline: Path, tmp_path: Path) -> None:
    made = videos.videos.create_and_poll(prompt=PROMPT, model="tiny-cascade", seconds="1", size="48x32", extra_body={"seed": 3})  # type: ignore[arg-type]
    assert (made.status, made.progress, made.size, made.seconds, made.prompt) == ("completed", 100, "48x32", "1", PROMPT)
    assert made.completed_at is not None and made.completed_at >= made.created_at and made.error is None

    content = videos.videos.download_content(made.id).content
    assert [frame.size for frame in frames_of(content)] == [(48, 32)] * 5
    from typer.testing import CliRunner

    alone = tmp_path / "alone.mp4"
    result = CliRunner().invoke(
        app, ["generate", PROMPT, "-o", str(alone), "--model", str(saved_pipeline), "--seed", "3", "--device", "cpu"]
    )
    assert result.exit_code == 0
    assert [frame.tobytes() for frame in frames_of(content)] == [frame.tobytes() for frame in frames_of(alone.read_bytes())]

    thumbnail = Image.open(io.BytesIO(videos.videos.download_content(made.id, variant="thumbnail").content))
    sheet = Image.open(io.BytesIO(videos.videos.download_content(made.id, variant="spritesheet").content))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (48, 32))
    assert (sheet.format, sheet.size) == ("JPEG", (3 * 192, 2 * 128))  # five frames in three columns


def test_json_bodies_options_and_previews(server: Process) -> None:
    body = {"prompt": PROMPT, "size": "32x16", "seed": 5, "steps": {"keyframes": 3}, "guidance": 1.5, "negative_prompt": "blur"}
    with httpx.Client(base_url=server.address) as http:
        made = http.post("/v1/videos", json=body)
        assert made.status_code == 200 and int(made.headers["openai-poll-after-ms"]) >= 100
        address = f"/v1/videos/{made.json()['id']}"
        events = events_of(http.get(f"{address}/events", timeout=60).text)
        assert [values["stage"] for name, values in events if name == "stage"] == STAGES[:3]
        assert events[-1][0] == "completed" and events[-1][1]["size"] == "32x16"
        progress = [values["progress"] for name, values in events if name == "progress"]
        assert progress == sorted(progress) and len(progress) >= 2  # type: ignore[type-var]
        for name, values in events:
            if name == "stage":
                assert len(frames_of(http.get(str(values["preview"])).content)) == (3 if values["stage"] == "keyframes" else 5)
        assert http.get(f"{address}/stages/latent").json()["error"]["code"] == "stage_not_ready"
        # A client that comes back does not hear again of the stages it knows.
        again = events_of(http.get(f"{address}/events", headers={"Last-Event-ID": "2"}).text)
        assert [name for name, _ in again] == ["stage", "completed"] and again[0][1]["stage"] == "pixel"
    request = json.loads((server.store / "videos" / made.json()["id"] / "run.json").read_text())["request"]
    assert (request["seed"], request["steps"], request["guidance"], request["negative_prompt"]) == (5, {"keyframes": 3}, 1.5, "blur")


def test_a_video_from_a_picture_and_of_another_length(server: Process, videos: openai.OpenAI) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 32), "orange").save(picture, "PNG")
    made = videos.videos.create_and_poll(
        prompt=PROMPT,
        seconds="2",  # type: ignore[arg-type]
        input_reference=("first.png", picture.getvalue(), "image/png"),
        extra_body={"stop_after": "pixel"},
    )
    assert (made.status, made.seconds, made.size) == ("completed", "2", "32x16")
    assert len(frames_of(videos.videos.download_content(made.id).content)) == 15  # 2 s at 7.5 a second, every other one a keyframe
    first = Run.open(server.store / "videos" / made.id).pictures("keyframes")[0].float().mean((0, 1))
    assert (first - torch.tensor([255, 165, 0])).abs().max() < 3
    kept = server.store / "pictures" / made.id
    assert kept.read_bytes() == picture.getvalue()
    videos.videos.delete(made.id)
    assert not kept.exists()


def test_a_form_may_hold_options_with_parts(server: Process) -> None:
    made = client(server.address).videos.create(prompt=PROMPT, extra_body={**SMALL, "steps": {"keyframes": 4}})
    wait_for(lambda: httpx.get(f"{server.address}/v1/videos/{made.id}").json()["status"] == "completed")
    request = json.loads((server.store / "videos" / made.id / "run.json").read_text())["request"]
    assert request["steps"] == {"keyframes": 4}


def test_a_deleted_video_is_gone_with_its_files(server: Process, videos: openai.OpenAI) -> None:
    made = videos.videos.create_and_poll(prompt=PROMPT, extra_body=SMALL)
    folder = server.store / "videos" / made.id
    assert (folder / "video.mp4").exists()
    gone = videos.videos.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "video.deleted", True)
    assert not folder.exists()
    with pytest.raises(openai.NotFoundError):
        videos.videos.retrieve(made.id)


def test_health_figures_and_models(server: Process, videos: openai.OpenAI) -> None:
    videos.videos.create_and_poll(prompt=PROMPT, extra_body=SMALL)
    assert httpx.get(f"{server.address}/healthz").json()["workers"] == ["ready"]
    figures = httpx.get(f"{server.address}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in figures.splitlines() if not line.startswith("#"))
    assert float(values['show1_jobs_ended_total{state="completed"}']) >= 1
    assert float(values['show1_request_seconds_count{method="POST",route="/v1/videos",status="200"}']) >= 1
    assert [model.id for model in videos.models.list()] == ["tiny-cascade"]


def test_videos_are_listed_in_pages(store: JobStore, quiet: str) -> None:
    asking = client(quiet)
    ids = [asking.videos.create(prompt=f"{PROMPT} {n}").id for n in range(3)]
    assert [video.id for video in asking.videos.list(limit=2)] == ids[::-1]  # the client turns the pages
    page = asking.videos.list(limit=2, order="asc")
    assert [video.id for video in page.data] == ids[:2] and page.has_more
    rest = asking.videos.list(limit=2, order="asc", after=ids[1])
    assert [video.id for video in rest.data] == ids[2:] and not rest.has_more


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_told(store: JobStore, quiet: str) -> None:
    first, second = (client(quiet).videos.create(prompt=PROMPT).id for _ in range(2))
    running = claim(store, "tiny-cascade")
    assert running is not None and running.job.id == first
    answers = [httpx.post(f"{quiet}/v1/videos/{job}/cancel").json() for job in (first, second)]
    assert [answer["status"] for answer in answers] == ["in_progress", "failed"]
    assert answers[1]["error"]["code"] == "cancelled"
    assert running.report(0.5, "pixel")
    running.stopped()
    assert client(quiet).videos.poll(first).status == "failed"  # it comes to an end
    assert events_of(httpx.get(f"{quiet}/v1/videos/{first}/events").text)[-1][0] == "cancelled"


def test_the_same_request_with_the_same_idempotency_key_is_one_job(quiet: str) -> None:
    asking = client(quiet, max_retries=0)
    headers = {"Idempotency-Key": "order 66"}
    one, two = (asking.videos.create(prompt=PROMPT, extra_headers=headers) for _ in range(2))
    assert one.id == two.id and len(asking.videos.list().data) == 1
    with pytest.raises(openai.UnprocessableEntityError, match="Idempotency-Key"):
        asking.videos.create(prompt="another", extra_headers=headers)
    assert asking.videos.create(prompt=PROMPT, extra_headers={"Idempotency-Key": "order 67"}).id != one.id


def test_a_full_queue_says_when_to_come_back(quiet: str) -> None:
    asking = client(quiet, max_retries=0)
    for _ in range(3):
        asking.videos.create(prompt=PROMPT)
    with pytest.raises(openai.RateLimitError, match="queue is full") as refused:
        asking.videos.create(prompt=PROMPT)
    assert int(refused.value.response.headers["Retry-After"]) >= 1


def test_content_before_it_is_there_is_refused(store: JobStore, quiet: str) -> None:
    made = client(quiet).videos.create(prompt=PROMPT)
    with pytest.raises(openai.BadRequestError, match="queued, at 0%"):
        client(quiet).videos.download_content(made.id)
    taken = claim(store, "tiny-cascade")
    assert taken is not None
    taken.fail("generation_failed", "the disk is full")
    found: Job | None = store.get(made.id)
    assert found is not None and found.state == "failed"
    with pytest.raises(openai.BadRequestError, match="the disk is full"):
        client(quiet).videos.download_content(made.id)
    assert client(quiet).videos.retrieve(made.id).error.message == "the disk is full"  # type: ignore[union-attr]
