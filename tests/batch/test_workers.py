"""Workers of one stage, without Ray: what they load, and what becomes of errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from show1 import Show1Pipeline
from show1.batch.cluster import ClusterError, connected, share
from show1.batch.workers import Plan, StageWorker, load_stage
from show1.cascade.settings import STAGES
from show1.models.outline import Outline
from show1.runs.request import OWN_COMPONENTS, Request
from show1.runs.run import Run

ASKED = Request(prompt="a rocket flies over the ocean", seed=3, output="../../videos/a.mp4")


@pytest.fixture
def plan(saved_pipeline: Path, tmp_path: Path) -> Plan:
    for name in ("videos", "runs"):
        (tmp_path / name).mkdir()
    (tmp_path / ".sent.json").write_text('{"token": "t"}')
    return Plan(root=str(tmp_path), model=str(saved_pipeline), stop_after="latent", token="t", device="cpu", dtype="float32", retries=1)


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "key": "k", "request": json.dumps(ASKED.to_dict()), "texts": b"", "error": "", **changes}


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_holds_its_own_networks_only(saved_pipeline: Path, stage: str) -> None:
    pipeline = load_stage(str(saved_pipeline), stage, "cpu", compiled=True)
    networks = {name for name, part in pipeline.components.items() if isinstance(part, (nn.Module, Outline))}
    loaded = {name for name in networks if isinstance(pipeline.components[name], nn.Module)}
    assert len(networks) == 8 and loaded == networks & set(OWN_COMPONENTS[stage])
    compiled = {name for name in loaded if "forward" in vars(pipeline.components[name])}
    assert compiled == {name for name in loaded if name.endswith("_unet")}, "at their first call"


def test_stages_made_apart_are_the_run_made_at_once(plan: Plan, pipeline: Show1Pipeline, saved_pipeline: Path) -> None:
    whole = Show1Pipeline.from_pretrained(saved_pipeline)
    alone = Run.create(Path(plan.root) / "alone", Request(prompt=ASKED.prompt, seed=3, model=str(saved_pipeline)))
    alone.advance(whole)
    made = row()
    for stage in STAGES:
        made = StageWorker(Plan(**{**vars(plan), "keep_runs": True}), stage)(made)
        assert made["error"] == "" and bool(made["texts"]) == (stage in ("keyframes", "interpolation"))
    run = Run.open(Path(plan.root) / "runs" / "a")
    assert run.state == "finished" and run.read()["keys"] == alone.read()["keys"]
    assert run.read()["model"]["components"] == alone.read()["model"]["components"]
    assert (Path(plan.root) / "videos" / "a.mp4").read_bytes() == alone.video_path.read_bytes()
    kept: list[str] = []
    run.advance(whole, on_stage=kept.append)
    assert kept == []


def test_a_prompt_that_kills_its_workers_is_given_up(plan: Plan) -> None:
    (Path(plan.root) / "runs" / "a.attempts").write_text("2")
    assert "keyframes: its worker died 2 times" in StageWorker(plan, "keyframes")(row())["error"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"token": "other"}, "does not see the batch's folder"), ({"model": "/nowhere/at all"}, "neither a folder nor")],
)
def test_errors_go_into_the_row(plan: Plan, changes: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("show1.batch.workers.PAUSE", 0.0)
    failed = StageWorker(Plan(**{**vars(plan), **changes}), "keyframes")(row())
    assert told in failed["error"] and StageWorker(plan, "interpolation")(failed) is failed


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus"),
    [
        ((4, 5, 0, True), 1.0, 0.0),
        ((8, 2, 0, True), 0.22, 0.0),
        ((4, 16, 2, True), 1.0, 0.5),
        ((4, 16, 8, True), 1.0, 1.0),
        ((4, 4, 1, False), 0.9, 0.0),
    ],
)
def test_all_workers_find_a_place(asked: tuple[int, float, float, bool], cpus: float, gpus: float) -> None:
    found = share(*asked)
    assert (found.cpus, found.gpus) == (cpus, gpus) and asked[0] * found.cpus < asked[1]


def test_ray_client_is_refused_with_the_way_out() -> None:
    with pytest.raises(ClusterError, match=r"ray://h:10001.*--address HOST:PORT"), connected("ray://h:10001", 4):
        pass
