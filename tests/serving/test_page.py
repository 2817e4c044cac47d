"""The web page, by its own protocol and, where there is one, in a headless browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from servers import Process
from show1.runs.run import Run
from show1.serving.keys import KeyStore
from show1.serving.store import JobStore, Limits

PROMPT = "a rocket flies over the ocean"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def page_client(server: Process) -> Client:
    """Gradio's own client."""
    return Client(f"{server.address}/ui/", verbose=False)


def frames(path: str) -> int:
    with av.open(path) as container:
        return len(list(container.decode(video=0)))


def test_stages_come_one_by_one_and_then_the_video(page_client: Client) -> None:
    job = page_client.submit(PROMPT, "7", "latent", "", "3", "", 1, None, api_name="/make")
    job.result(timeout=240)
    outputs = job.outputs()
    arrived = [next(n for n, values in enumerate(outputs) if isinstance(values[place], str)) for place in range(1, 6)]
    video, *stages = arrived
    assert 0 < stages[0] <= stages[1] <= stages[2] <= stages[3] < video  # a stage that goes on to play is not sent again
    assert all(sum(isinstance(values[place], str) for values in outputs) == 1 for place in range(1, 6))
    assert "finished in" in outputs[-1][0] and "seed 7" in outputs[-1][0]
    assert [frames(outputs[n][place]) for place, n in enumerate(arrived, 1)] == [5, 3, 5, 5, 5]
    past = page_client.predict(api_name="/past")
    assert past[0]["caption"] == f"{PROMPT} · seed 7"


def test_what_cannot_be_made_is_said(page_client: Client, tmp_path: Path) -> None:
    for values, text in ((("", "7"), "prompt is empty"), ((PROMPT, "seven"), "seed must be a whole number")):
        with pytest.raises(Exception, match=text):
            page_client.predict(*values, "latent", "", "", "", 1, None, api_name="/make")
    Image.new("RGB", (16, 8)).save(tmp_path / "first.bmp")
    with pytest.raises(Exception, match="must be a whole PNG, JPEG, WEBP file"):
        page_client.predict(PROMPT, "7", "latent", "", "", "", 1, handle_file(tmp_path / "first.bmp"), api_name="/make")


def test_a_video_from_a_picture_and_of_another_length(server: Process, page_client: Client, tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "first.png")
    values = page_client.predict(PROMPT, "9", "keyframes", "", "", "", 2, handle_file(tmp_path / "first.png"), api_name="/make")
    assert "finished in" in values[0] and frames(values[1]) == 8
    (kept,) = (path for path in (server.store / "pictures").iterdir() if path.read_bytes() == (tmp_path / "first.png").read_bytes())
    run = Run.open(server.store / "videos" / kept.name)
    assert run.request.frames == 15 and (run.pictures("keyframes")[0].float().mean((0, 1)) - torch.tensor([255, 165, 0])).abs().max() < 3


def test_nothing_on_the_page_comes_from_elsewhere(server: Process) -> None:
    assert httpx.get(server.address, follow_redirects=True).url.path == "/ui/"
    text = httpx.get(f"{server.address}/ui/").text
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]+)"', text)
    assert loaded and not [address for address in loaded if "//" in address]


def test_with_keys_one_logs_in(server: Process, saved_pipeline: Path, tmp_path: Path) -> None:
    key = KeyStore(JobStore(tmp_path / "jobs").database).create("ann", Limits())
    with Process(tmp_path / "jobs", saved_pipeline, "--workers", "0") as keyed:
        assert httpx.get(f"{keyed.address}/ui/config").status_code == 401
        for password, status in (("wrong", 400), (key, 200)):
            answer = httpx.post(f"{keyed.address}/ui/login", data={"username": "ann", "password": password})
            assert answer.status_code == status
        assert httpx.get(f"{keyed.address}/ui/config", cookies=answer.cookies).status_code == 200


@pytest.fixture
def browser_page() -> Iterator[Page]:
    """A page of a headless browser."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 1100})
        browser.close()


def test_in_a_browser_a_prompt_becomes_a_video_that_plays(server: Process, browser_page: Page) -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.goto(f"{server.address}/ui/")
    browser_page.fill("#prompt textarea", PROMPT)
    browser_page.fill("#seed input, #seed textarea", "8")
    browser_page.click("#make")
    browser_page.wait_for_function("document.querySelector('#video video')?.currentTime > 0", timeout=90_000)
    size: Any = browser_page.evaluate("[...['videoWidth', 'videoHeight']].map(name => document.querySelector('#video video')[name])")
    assert size == [48, 32]
    for stage in ("keyframes", "interpolation", "pixel", "latent"):
        assert browser_page.locator(f"#stage-{stage} video").count() == 1
    assert "seed 8" in browser_page.inner_text("#status")
    browser_page.locator("#past img").first.wait_for()
    assert all(address.startswith((server.address, "blob:", "data:")) for address in asked)
