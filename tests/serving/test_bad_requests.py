"""Whatever is sent, the answer is a 4xx in OpenAI's error shape that says what was wrong; and nothing was accepted."""

import json
import socket
from typing import Any

import httpx
import pytest

from servers import client
from show1.serving.store import JobStore

DEEP = b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}"
JSON = {"content-type": "application/json"}
BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}


def part(name: str, value: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


def refused(answer: httpx.Response, status: int, text: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert text in error["message"], error["message"]
    return error


BODIES: dict[str, tuple[dict[str, str], bytes, int, str]] = {
    "nothing": (JSON, b"", 400, "no JSON"),
    "no JSON": (JSON, b"{prompt: a}", 400, "no JSON"),
    "half a JSON": (JSON, b'{"prompt": "a', 400, "no JSON"),
    "a list": (JSON, b'["prompt"]', 400, "must be a JSON object"),
    "text": (JSON, b'"prompt"', 400, "must be a JSON object"),
    "bytes that are no text": (JSON, b'{"prompt": "\xff\xfe"}', 400, "no JSON"),
    "too deep": (JSON, DEEP, 400, ""),
    "a number without end": (JSON, b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", 400, "no JSON"),
    "another type": ({"content-type": "text/xml"}, b"<prompt/>", 415, "text/xml"),
    "a form without boundary": ({"content-type": "multipart/form-data"}, b"--b", 400, "form cannot be read"),
    "a form that ends early": (BOUNDARY, b"--b\r\nContent-Disposition: form-da", 400, ""),
    "a form with nonsense": (BOUNDARY, b"\x00\x01\x02", 400, ""),
    "a form without prompt": (BOUNDARY, (part("size", "48x32") + "--b--\r\n").encode(), 400, "prompt is missing"),
    "a field twice": (BOUNDARY, (part("prompt", "a") * 2 + "--b--\r\n").encode(), 400, "'prompt' twice"),
    "a file as prompt": (BOUNDARY, (part("prompt", "a", '; filename="p.txt"') + "--b--\r\n").encode(), 400, "must be text"),
    "a picture": (
        BOUNDARY,
        (part("prompt", "a") + part("input_reference", "a", '; filename="p.png"') + "--b--\r\n").encode(),
        400,
        "must be a whole PNG, JPEG, WEBP file",
    ),
    "too many fields": (BOUNDARY, ("".join(part(f"f{n}", "a") for n in range(70)) + "--b--\r\n").encode(), 400, "Too many fields"),
    "too much": (JSON, b'{"prompt": "' + b"a" * 20_000 + b'"}', 413, "20000 bytes"),
}
FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an empty prompt": ({"prompt": ""}, "prompt", "empty"),
    "an invisible prompt": ({"prompt": " \n\u0000\t"}, "prompt", "empty"),
    "a number as prompt": ({"prompt": 3}, "prompt", "must be text, not int"),
    "no prompt but null": ({"prompt": None}, "prompt", "missing"),
    "a prompt that is too long": ({"prompt": "a" * 10_001}, "prompt", "10001 characters"),
    "another model": ({"model": "sora-2"}, "model", "'sora-2'"),
    "a list as model": ({"model": ["sora-2"]}, "model", "sora-2"),
    "another size": ({"size": "1280x720"}, "size", "its sizes: 48x32, 32x16, 16x8"),
    "a number as size": ({"size": 48}, "size", "48"),
    "a size of another stage": ({"size": "48x32", "stop_after": "pixel"}, "size", "after 'pixel' videos are 32x16"),
    "too many seconds": ({"seconds": "13"}, "seconds", "1 to 12 seconds"),
    "no second": ({"seconds": 0}, "seconds", "1 to 12 seconds"),
    "seconds in words": ({"seconds": "four"}, "seconds", "whole number"),
    "an unknown stage": ({"stop_after": "sr3"}, "stop_after", "keyframes, interpolation, pixel, latent"),
    "a list as stage": ({"stop_after": ["pixel"]}, "stop_after", "pixel"),
    "a negative seed": ({"seed": -1}, "seed", "out of range"),
    "a huge seed": ({"seed": 2**63}, "seed", "out of range"),
    "a seed in words": ({"seed": "seven"}, "seed", "whole number, not 'seven'"),
    "half a seed": ({"seed": 1.5}, "seed", "whole number"),
    "a true seed": ({"seed": True}, "seed", "whole number"),
    "no steps": ({"steps": 0}, "steps", "steps is 0"),
    "steps of nothing": ({"steps": {"sr3": 1}}, "steps", "sr3"),
    "steps in a list": ({"steps": [1]}, "steps", "whole number"),
    "steps in a broken form": ({"steps": "{keyframes"}, "steps", "no JSON"),
    "too few steps": ({"steps": {"latent": 1}}, "steps", "leave the latent stage none"),
    "infinite guidance": ({"guidance": "inf"}, "guidance", "inf"),
    "a guidance that is no number": ({"guidance": "nan"}, "guidance", "nan"),
    "an unknown field": ({"promt": "a"}, "promt", "known: prompt, model"),
    "a field with a strange name": ({"\ud800": "a"}, "\\ud800", "unknown parameter"),
    "a picture by address": ({"input_reference": {"image_url": "http://x"}}, "input_reference", "nothing is fetched"),
    "a picture by a file's id": ({"input_reference": {"file_id": "file_1"}}, "input_reference", "nothing is fetched"),
    "a picture in words": ({"input_reference": "a cat"}, "input_reference", "nothing is fetched"),
    "a picture in no base64": ({"input_reference": {"image_url": "data:image/png;base64,?"}}, "input_reference", "base64"),
    "half a picture": ({"input_reference": {"image_url": "data:image/png;base64,iVBORw0KGgo="}}, "input_reference", "cannot be read"),
    "a table to avoid": ({"negative_prompt": {"a": 1}}, "negative_prompt", "must be text"),
}
IDS = [
    "x",
    "..",
    "%2e%2e",
    "..%2f..%2fjobs.sqlite3",
    "video_" + "0" * 32,
    "video_" + "0" * 31 + "/",
    "%00",
    "video_" + "A" * 32,
    "a" * 5000,
]


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body(quiet: str, store: JobStore, name: str) -> None:
    headers, body, status, text = BODIES[name]
    refused(httpx.post(f"{quiet}/v1/videos", content=body, headers=headers), status, text)
    assert store.page(None) == ([], False)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_cannot_be_served(quiet: str, store: JobStore, name: str) -> None:
    fields, param, text = FIELDS[name]
    body = json.dumps({"prompt": "a rocket", **fields})
    error = refused(httpx.post(f"{quiet}/v1/videos", content=body, headers=JSON), 400, text)
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert store.page(None) == ([], False)


def test_a_body_that_hides_its_length_is_cut_off(quiet: str) -> None:
    refused(httpx.post(f"{quiet}/v1/videos", content=(b"a" * 1000 for _ in range(100)), headers=JSON), 413)


@pytest.mark.parametrize("job", IDS)
@pytest.mark.parametrize("tail", ["", "/content", "/events", "/stages/keyframes", "/cancel", "/remix"])
def test_ids_that_are_none_lead_nowhere(quiet: str, job: str, tail: str) -> None:
    post = tail in ("/cancel", "/remix")
    host, port = quiet.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # a client library would tidy the path up
        raw.sendall(f"{'POST' if post else 'GET'} /v1/videos/{job}{tail} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    assert answer.split()[1] in ("404", "405"), answer
    assert set(json.loads(answer.split("\r\n\r\n", 1)[1])["error"]) == {"message", "type", "param", "code"}


def test_paths_and_methods_that_are_none(quiet: str) -> None:
    assert refused(httpx.get(f"{quiet}/v1/nothing"), 404)["code"] == "not_found"
    refused(httpx.put(f"{quiet}/v1/videos"), 405, "PUT")
    for name in ("edits", "extensions", "characters"):
        assert refused(httpx.post(f"{quiet}/v1/videos/{name}", json={}), 400, "not offered")["code"] == "not_supported"


@pytest.mark.parametrize(("query", "param"), [("limit=x", "limit"), ("limit=-1", "limit"), ("limit=101", "limit"), ("order=up", "order")])
def test_lists_that_are_asked_for_wrongly(quiet: str, query: str, param: str) -> None:
    assert refused(httpx.get(f"{quiet}/v1/videos?{query}"), 400)["param"] == param


def test_things_that_a_video_does_not_have(quiet: str) -> None:
    made = client(quiet).videos.create(prompt="a rocket").id
    refused(httpx.get(f"{quiet}/v1/videos?after={made[:-1]}"), 400, "after")
    refused(httpx.get(f"{quiet}/v1/videos/{made}/content?variant=audio"), 400, "video, thumbnail, spritesheet")
    refused(httpx.get(f"{quiet}/v1/videos/{made}/stages/sr3"), 404, "keyframes, interpolation")
    refused(httpx.get(f"{quiet}/v1/videos/{made}/stages/pixel"), 404, "not finished")
    refused(httpx.post(f"{quiet}/v1/videos/{made}/remix", json={"prompt": "a"}), 400, "remix")
    refused(httpx.post(f"{quiet}/v1/videos", json={"prompt": "a"}, headers={"Idempotency-Key": "k" * 256}), 400, "256")


def test_a_prompt_with_broken_characters_is_taken_without_them(quiet: str, store: JobStore) -> None:
    answer = httpx.post(f"{quiet}/v1/videos", content=b'{"prompt": "a \\ud800rocket\\u0000 \xe7\x81\xab"}', headers=JSON)
    assert answer.status_code == 200 and answer.json()["prompt"] == "a  rocket  火"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:80", "origin": "http://evil.example:80"},
        {"origin": "http://evil.example"},
        {"host": ""},
    ],
)
def test_web_pages_from_elsewhere_are_kept_out(quiet: str, headers: dict[str, str]) -> None:
    assert refused(httpx.post(f"{quiet}/v1/videos", json={"prompt": "a"}, headers=headers), 403)["type"] == "permission_error"
    refused(httpx.get(f"{quiet}/v1/videos", headers=headers), 403)
