"""Models are shared with a card: in a folder, and through the hub's API, served here by a small server that speaks it."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from show1 import Show1Pipeline
from show1.cascade.model_card import model_card
from show1.errors import CheckpointError

RECORD = {
    "config": {
        "batch_size": 4,
        "learning_rate": 1e-3,
        "rates": {"temporal": 2e-3},
        "data": {"objects": ["car"], "motions": None},
        "start": {},
    },
    "steps_done": 1500,
    "clips_seen": 6000,
    "metrics": {"loss": 0.12345, "validation": {"0-499": 0.2, "500-999": 0.1}},
}


class Hub(BaseHTTPRequestHandler):
    """Makes repositories and takes commits, in memory."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    made: list[dict[str, Any]] = []  # noqa: RUF012
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refuses:
            self.answer(403, {"error": "no"})
        elif self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            self.answer(200, {"url": f"{self.address}/me/model"})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            self.answer(200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in asked]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(200, {"commitUrl": f"{self.address}/me/model/commit/1", "commitOid": "1", "hookOutput": ""})
        else:
            self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(200, {"id": "me/model", "sha": "0", "siblings": []})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, status: int, values: dict[str, Any]) -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.files, Hub.made, Hub.refuses = {}, [], False
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # this hub can be reached even where the tests run offline
    yield Hub
    server.shutdown()
    server.server_close()


def test_a_saved_model_has_a_card(saved_pipeline: Path) -> None:
    card = (saved_pipeline / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["pipeline_tag"] == "text-to-video" and "license" not in head
    assert card.startswith("---\n") and "# tiny-cascade" in card and "Not stated" in card and "| keyframes | " in card


def test_a_card_tells_of_the_training() -> None:
    settings = {"final_size": [576, 320]}
    card = model_card({"vae": 2_500_000}, settings, {"objects": ["car"], "words": ["a"]}, {"keyframes": RECORD}, licence="mit", name="me/m")
    for told in (
        "license: mit",
        "1,500 (6,000 clips)",
        "objects = car",
        "rates: temporal = 0.002",
        "0.1235",
        "500-999: 0.1",
        "2.50",
        "576 x 320",
    ):
        assert told in card, told
    assert "None" not in card


def test_training_and_licence_outlive_a_folder(pipeline: Show1Pipeline, tmp_path: Path) -> None:
    shared = Show1Pipeline(**pipeline.components, settings=pipeline.settings, training={"keyframes": RECORD}, licence="mit")
    shared.save_pretrained(tmp_path / "one")
    Show1Pipeline.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    first, second = ((tmp_path / name / "README.md").read_text() for name in ("one", "two"))
    assert "1,500 (6,000 clips)" in first and first.replace("one", "two") == second


def test_the_hub_gets_all_files_and_the_card(pipeline: Show1Pipeline, hub: type[Hub], tmp_path: Path) -> None:
    address = pipeline.push_to_hub("me/model", private=True, token="hf_test")
    assert address.endswith("/me/model/commit/1")
    made = hub.made[0]
    assert made["name"] == "model" and (made.get("private") is True or made.get("visibility") == "private")
    assert b"# me/model" in hub.files["README.md"]
    for name, content in hub.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert Show1Pipeline.from_pretrained(tmp_path).settings == pipeline.settings


def test_saving_can_push_as_well(pipeline: Show1Pipeline, hub: type[Hub], tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "model", push_to_hub=True, repo_id="me/model", token="hf_test")
    assert hub.files["README.md"] == (tmp_path / "model" / "README.md").read_bytes()


def test_a_hub_that_refuses_is_an_error(pipeline: Show1Pipeline, hub: type[Hub]) -> None:
    hub.refuses = True
    with pytest.raises(CheckpointError, match=r"'me/model' could not be uploaded.*hf auth login"):
        pipeline.push_to_hub("me/model", token="hf_test")
