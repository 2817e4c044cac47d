"""What a run costs, counted by hand for small networks."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from show1 import Show1Pipeline
from show1.cli import app
from show1.evaluation.costs import Bench, Cost, PeakMemory, as_record, counted_calls, matrix_rate, table

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def costs(pipeline: Show1Pipeline) -> dict[str, Cost]:
    return {cost.stage: cost for cost in Bench(pipeline, "a rocket", seed=1).run()}


def test_network_calls_are_those_of_the_settings(costs: dict[str, Cost]) -> None:
    calls = {stage: cost.calls for stage, cost in costs.items()}
    # tiny.SETTINGS: guidance is one call of twice the batch; 5 frames in windows of 4; two steps of the latent stage, 5 frames in and out
    assert calls == {"text": 2, "keyframes": 2, "interpolation": 2, "pixel": 2 + 2 * 2, "latent": 2 + 5 + 5, "all": 24}


def test_operations_and_seconds_add_up(costs: dict[str, Cost]) -> None:
    parts = [cost for stage, cost in costs.items() if stage != "all"]
    assert all(cost.flop > 0 and cost.seconds > 0 for cost in parts)
    assert costs["all"].flop == sum(cost.flop for cost in parts)
    assert costs["all"].seconds == pytest.approx(sum(cost.seconds for cost in parts))


def test_calls_are_counted_by_network() -> None:
    network = nn.Linear(2, 2)
    with counted_calls({"one": network, "other": nn.Identity()}) as counts:
        network(network(torch.zeros(1, 2)))
    network(torch.zeros(1, 2))
    assert counts == {"one": 2, "other": 0}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are exact on Linux only")
def test_peak_memory_sees_what_was_freed_again() -> None:
    memory = PeakMemory(CPU)
    before, _ = memory.read()
    big = torch.ones(50_000_000)
    del big
    peak, reserved = memory.read()
    assert 150e6 < peak - before < 250e6 and reserved is None
    memory.reset()
    assert memory.read()[0] < peak - 100e6


def test_a_table_has_a_row_a_stage(costs: dict[str, Cost]) -> None:
    record = as_record(list(costs.values()), limit=matrix_rate(CPU, torch.float32))
    assert record["matrix_rate"] > 1e8
    text = table(record)
    assert all(f"| {stage} |" in text for stage in costs)
    assert record["stages"][1]["share"] == pytest.approx(costs["keyframes"].rate() / record["matrix_rate"])


def test_a_table_of_a_gpu_says_what_was_reserved_too() -> None:
    cost = Cost(stage="pixel", seconds=2.0, calls=3, flop=10**12, memory=7_000_000_000, reserved=11_000_000_000)
    header, _, row = table(as_record([cost], limit=10**12)).splitlines()[:3]
    assert header.endswith("| peak MB | reserved MB |") and row.endswith("| 500.0 | 50% | 7000 | 11000 |")


def test_the_command_prints_the_table_and_writes_the_figures(saved_pipeline: Path, tmp_path: Path) -> None:
    arguments = ["bench", "a rocket", "--model", saved_pipeline, "--device", "cpu", "-o", tmp_path / "costs.json"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert "| keyframes |" in result.output
    assert [row["stage"] for row in json.loads((tmp_path / "costs.json").read_text())["stages"]][-1] == "all"
