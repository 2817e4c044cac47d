"""Plans of a tiny cascade: within budgets, by configuration alone, and carried out."""

import json
import logging
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import folders
import tiny
from show1 import Show1Pipeline, plan_memory
from show1.cascade import loading
from show1.cascade.loading import load_outlines, read_model
from show1.cascade.thrift import Thrift
from show1.cli import app
from show1.errors import SettingsError
from show1.memory.plan import GROUPS, MODEL, STAGEWISE, WHOLE, Plan, Planner, bytes_of
from show1.memory.stages import PHASES
from show1.memory.within import advance_within, out_of_memory
from show1.runs.request import Request
from show1.runs.run import Run

PROMPT = "a rocket flies over the ocean"


@pytest.fixture(scope="module")
def weightless(saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved pipeline without any weights: only its configuration."""
    root = tmp_path_factory.mktemp("weightless")
    for path in saved_pipeline.rglob("*"):
        if path.is_file() and path.suffix not in (".safetensors", ".bin"):
            copy = root / path.relative_to(saved_pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def plans(weightless: Path) -> list[Plan]:
    model, device, _ = load_outlines(str(weightless), "cpu")
    return list(Planner(model, None, device, torch.float32).plans())


def test_sizes_are_read_as_people_write_them() -> None:
    assert [bytes_of(s) for s in ("8GB", "500 mb", "1.5GiB", 12, "7")] == [8 * 10**9, 5 * 10**8, 3 * 2**29, 12, 7]
    for wrong in ("8 gigs", "", "-1GB"):
        with pytest.raises(SettingsError, match="write it as 8GB"):
            bytes_of(wrong)


def test_every_plan_is_smaller_where_it_was_tight_and_none_is_larger(plans: list[Plan]) -> None:
    assert len(plans) > 2 and set(plans[0].peaks) == set(PHASES)
    for before, after in pairwise(plans):
        tight = max(before.peaks, key=lambda stage: before.peaks[stage])
        assert after.peak <= before.peak and after.peaks[tight] < before.peaks[tight]


def test_a_smaller_budget_never_gives_an_earlier_plan(weightless: Path, plans: list[Plan]) -> None:
    model, device, _ = load_outlines(str(weightless), "cpu")
    planner = Planner(model, None, device, torch.float32)
    planner.plans = lambda: iter(plans)  # type: ignore[method-assign]  # peaks of one moment: the process grows a little
    left = [len(planner.within(budget)) for budget in sorted({p.peak for p in plans}, reverse=True)]
    assert left == sorted(left, reverse=True) and left[0] == len(plans)
    assert all(plan.budget == plans[0].peak + 1 for plan in planner.within(plans[0].peak + 1)), "which a GPU is held to"
    with pytest.raises(SettingsError, match=f"smallest plan needs {plans[-1].peak / 1e6:.0f} MB|smallest plan needs .* GB"):
        planner.within(plans[-1].peak - 1)


def test_a_dry_run_needs_no_weights_and_makes_nothing(weightless: Path, tmp_path: Path) -> None:
    arguments = ["generate", PROMPT, "-o", str(tmp_path / "v.mp4"), "--model", str(weightless), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--memory", "8GB", "--dry-run"])
    assert result.exit_code == 0 and "predicted peak" in result.output and "is kept" not in result.output, result.output
    free = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert free.exit_code == 0 and "freed memory is kept" in free.output, free.output
    elsewhere = CliRunner().invoke(app, [*arguments[:-1], "xpu", "--dry-run"])  # a device that is not in this machine
    assert elsewhere.exit_code == 0 and "float16 on xpu" in elsewhere.output, elsewhere.output
    absent = CliRunner().invoke(app, [*arguments[:-1], "xpu", "--memory", "8GB"])
    assert absent.exit_code == 1 and "cannot be used here" in " ".join(absent.output.split()), absent.output
    compiled = CliRunner().invoke(app, [*arguments, "--memory", "8GB", "--compile"])
    assert compiled.exit_code == 1 and "without --memory" in " ".join(compiled.output.split())
    refused = CliRunner().invoke(app, [*arguments, "--memory", "10MB", "--dry-run"])
    assert refused.exit_code == 1 and "the smallest plan needs" in " ".join(refused.output.split()), refused.output
    assert not any(tmp_path.iterdir())


def test_the_published_folders_are_planned_for(saved_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny.make_pipeline(tmp_path)
    places = folders.write_published(pipe, tmp_path / "t5" / "spiece.model", tmp_path)
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()
    names = [name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)]
    model = Show1Pipeline.from_published(**places, outlines=names)
    planner = Planner(model, tiny.SETTINGS, torch.device("cpu"), torch.float16)
    first = next(planner.plans())
    weights = {name: planner.trial.weights(name, torch.float16) for name in names}
    kept = planner.process + sum(weights.values()) - weights["text_encoder"]
    text = planner.trial.working("text", torch.float16, Thrift())
    assert first.peaks["text"] == kept + weights["text_encoder"] + text
    assert first.peaks["latent"] == kept + planner.trial.working("latent", torch.float16, Thrift())
    elsewhere = Planner(model, tiny.SETTINGS, torch.device("cuda"), torch.float16, stop_after="keyframes")
    for room, held in ((kept - planner.process, WHOLE), (kept - planner.process - 1, MODEL)):
        monkeypatch.setattr(loading, "ROOM", room)
        assert elsewhere.default().held == held, "a T5 that goes again does not count"


def test_out_of_memory_is_known_by_its_real_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value) and out_of_memory(MemoryError()) and out_of_memory(torch.OutOfMemoryError("no"))
    assert not out_of_memory(RuntimeError("shapes do not match"))


def test_where_memory_runs_out_the_next_plan_goes_on_from_the_finished_stages(
    saved_pipeline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run.create(tmp_path / "run", Request(prompt=PROMPT, seed=3, model=str(saved_pipeline)))
    loads: list[tuple[str, list[str]]] = []

    def load(plan: Plan, outlines: Collection[str]) -> Any:
        loads.append((plan.held, run.finished))
        pipeline = read_model(str(saved_pipeline), plan.dtype, outlines)
        pipeline.set_progress_bar_config(disable=True)
        if len(loads) == 1:  # the real error of a real allocation, in the middle of the third stage
            pipeline.pixel_upscale_unet.register_forward_pre_hook(lambda *_: torch.empty(2**60, dtype=torch.uint8))
        return pipeline

    whole = Plan(device=torch.device("cpu"), dtype=torch.float32)
    plans = [whole, Plan(device=whole.device, dtype=whole.dtype, held=STAGEWISE, thrift=Thrift(apart=("keyframes", "latent")))]
    with caplog.at_level(logging.WARNING):
        assert advance_within(run, plans, load) == "finished"
    assert "out of memory" in caplog.text and "keyframes, interpolation" in caplog.text
    assert [held for held, _ in loads] == ["whole"] + ["stages"] * 3  # text, pixel, latent
    assert loads[1][1] == ["keyframes", "interpolation"] and run.video_path.exists()
    assert json.loads((run.folder / "run.json").read_text())["state"] == "finished"


def test_stage_by_stage_makes_the_same_as_all_at_once(saved_pipeline: Path, tmp_path: Path) -> None:
    made = []
    for held in (WHOLE, STAGEWISE):
        run = Run.create(tmp_path / held, Request(prompt=PROMPT, seed=3, model=str(saved_pipeline), stop_after="interpolation"))
        plan = Plan(device=torch.device("cpu"), dtype=torch.float32, held=held)
        assert advance_within(run, [plan], lambda plan, outlines: read_model(str(saved_pipeline), plan.dtype, outlines)) == "finished"
        made.append(run)
    assert torch.equal(made[0].stage("interpolation"), made[1].stage("interpolation"))
    assert made[0].read()["keys"]["interpolation"] == made[1].read()["keys"]["interpolation"]


def test_smaller_portions_give_the_same_pictures(saved_pipeline: Path) -> None:
    pipeline = Show1Pipeline.from_pretrained(saved_pipeline)
    pipeline.set_progress_bar_config(disable=True)
    made = []
    for thrift in (Thrift(), Thrift(apart=("keyframes", "first_frame", "latent"), windows=1)):
        pipeline.spare(thrift)
        made.append(pipeline(PROMPT, seed=1, output_type="pt").stages())
    for stage, video in made[0].items():
        torch.testing.assert_close(made[1][stage], video, atol=1e-2 if stage == "latent" else 1e-4, rtol=0)


def test_a_plan_can_be_had_from_python(weightless: Path) -> None:
    plan = plan_memory("1TB", str(weightless), device="cpu", dtype="float32", stop_after="interpolation")
    assert list(plan.peaks) == ["text", "keyframes", "interpolation"] and plan.thrift == Thrift()


def test_t5_in_8_bits_holds_what_was_predicted_and_says_nearly_the_same(saved_pipeline: Path, weightless: Path) -> None:
    plain, small = (Show1Pipeline.from_pretrained(saved_pipeline, int8_text_encoder=int8) for int8 in (False, True))
    wanted, got = (pipe.encode_prompt([PROMPT], [""])[0] for pipe in (plain, small))
    assert 0 < (got - wanted).norm() < 0.05 * wanted.norm()
    planner = Planner(load_outlines(str(weightless), "cpu")[0], None, torch.device("cpu"), torch.float32)
    held = {id(part): part for part in small.text_encoder.parameters()}.values()
    sizes = [(p.qdata.nbytes + p.scale.nbytes) if hasattr(p, "qdata") else p.nbytes for p in held]
    assert any(hasattr(p, "qdata") for p in held)
    assert planner.trial.weights("text_encoder", torch.float32, int8=True) == sum(sizes)


def test_layer_by_layer_makes_the_same(saved_pipeline: Path, tmp_path: Path) -> None:
    made = []
    for held in (WHOLE, MODEL, GROUPS):
        run = Run.create(tmp_path / held, Request(prompt=PROMPT, seed=3, model=str(saved_pipeline)))
        plan = Plan(device=torch.device("cpu"), dtype=torch.float32, held=held, layered_text=held == MODEL)
        assert advance_within(run, [plan], lambda plan, outlines: read_model(str(saved_pipeline), plan.dtype, outlines)) == "finished"
        made.append(run)
    assert len({run.video_path.read_bytes() for run in made}) == 1
    assert made[0].read()["keys"] == made[1].read()["keys"] == made[2].read()["keys"]  # each goes on where another stopped


def test_a_t5_that_is_loaded_on_demand_is_offloaded_with_the_rest(saved_pipeline: Path) -> None:
    pipe = Show1Pipeline.from_pretrained(saved_pipeline)
    encoder, wanted = pipe.text_encoder, pipe.encode_prompt([PROMPT], [""])[0]
    pipe.register_modules(text_encoder=None)
    pipe.load_text_encoder = lambda: encoder
    pipe.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")
    assert torch.equal(pipe.encode_prompt([PROMPT], [""])[0], wanted)
    assert pipe.text_encoder is None and hasattr(encoder.shared, "_diffusers_hook")


def test_on_a_gpu_networks_come_one_by_one_then_t5_in_8_bits_then_by_layers_then_all_by_layers(weightless: Path) -> None:
    model = load_outlines(str(weightless), "cpu")[0]
    planner = Planner(model, None, torch.device("cuda"), torch.float32, fixed_dtype=True)  # which need not be here
    plans = list(planner.plans())
    ways = list(dict.fromkeys(plan.held for plan in plans))
    assert ways == [WHOLE, MODEL, GROUPS]
    for before, after in pairwise(plans):
        if (after.int8_text, after.layered_text) != (before.int8_text, before.layered_text) and after.held == MODEL:
            assert max(before.peaks, key=before.peaks.__getitem__) == "text"
        assert not (after.int8_text and after.layered_text) and (after.held != GROUPS or not after.int8_text)
    text = planner._predicted(Plan(device=planner.device, dtype=torch.float32, held=MODEL)).peaks["text"]
    small = planner._predicted(Plan(device=planner.device, dtype=torch.float32, held=MODEL, int8_text=True)).peaks["text"]
    layers = planner._predicted(Plan(device=planner.device, dtype=torch.float32, held=GROUPS)).peaks["text"]
    assert layers < small < text
