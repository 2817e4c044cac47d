"""Networks that are on a device for their turn only."""

from pathlib import Path
from typing import Any

import pytest
import torch

from show1 import Show1Pipeline
from show1.cascade import loading
from show1.cascade.loading import NETWORKS, keeps_all, load_outlines, put
from show1.memory.plan import MODEL, WHOLE, Planner

PROMPT = "a rocket flies over the ocean"
CPU = torch.device("cpu")


@pytest.fixture
def pipe(saved_pipeline: Path) -> Show1Pipeline:
    pipe = Show1Pipeline.from_pretrained(saved_pipeline)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def watch_moves(pipe: Show1Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What is on the device, whenever a network came; the device is `cpu:0`, where main memory is `cpu`."""
    names = {id(getattr(pipe, name)): name for name in NETWORKS}
    there: set[str] = set()
    seen: list[set[str]] = []
    move = torch.nn.Module.to

    def watched(self: torch.nn.Module, *place: Any, **options: Any) -> torch.nn.Module:
        name = names.get(id(self))
        if name is not None and place:
            if torch.device(place[0]).index is None:
                there.discard(name)
            elif name not in there:
                there.add(name)
                seen.append(set(there))
        return move(self, *place, **options)

    monkeypatch.setattr(torch.nn.Module, "to", watched)
    return seen


def test_each_network_is_there_for_its_turn_and_makes_the_same(pipe: Show1Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = pipe(PROMPT, seed=2, output_type="pt").frames
    seen = watch_moves(pipe, monkeypatch)
    pipe.enable_model_cpu_offload(device=CPU)
    assert torch.equal(pipe(PROMPT, seed=2, output_type="pt").frames, wanted)
    assert set().union(*seen) == set(NETWORKS)
    together = [{"vae", "latent_unet"}, {"first_frame_unet", "pixel_upscale_unet"}]  # the latter on a CPU only: accelerate finds it left
    assert all(len(there) == 1 or there in together for there in seen)


def test_a_stopped_video_leaves_nothing_on_the_device(pipe: Show1Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.enable_model_cpu_offload(device=CPU)

    def stop(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe(PROMPT, seed=2, callback_on_step_end=stop)
    seen = watch_moves(pipe, monkeypatch)
    pipe(PROMPT, seed=2, stop_after="keyframes")
    assert seen == [{"text_encoder"}, {"keyframes_unet"}]


@pytest.mark.parametrize("layered", [False, True])
def test_a_t5_that_is_loaded_on_demand_comes_and_goes(pipe: Show1Pipeline, layered: bool) -> None:
    encoder, wanted = pipe.text_encoder, pipe.encode_prompt([PROMPT], [""])[0]
    pipe.register_modules(text_encoder=None)
    pipe.load_text_encoder = lambda: encoder
    if layered:
        pipe.enable_text_encoder_offload(CPU, offload_type="leaf_level")
    pipe.enable_model_cpu_offload(device=CPU)
    assert torch.equal(pipe.encode_prompt([PROMPT], [""])[0], wanted)
    assert pipe.text_encoder is None and pipe._execution_device.index == 0
    assert hasattr(encoder.shared, "_diffusers_hook") == layered


def test_many_weights_are_moved_to_a_gpu_network_by_network(
    pipe: Show1Pipeline, saved_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda")  # planned for, and not here
    weights = sum(p.nbytes for name in NETWORKS for p in getattr(pipe, name).parameters())
    outlines = load_outlines(str(saved_pipeline), "cpu", "float32")[0]
    planner = Planner(outlines, None, gpu, torch.float32, stop_after="keyframes")
    for room, held in ((weights // 2, MODEL), (2 * weights, WHOLE)):
        monkeypatch.setattr(loading, "ROOM", room)
        assert planner.default().held == held and keeps_all(weights, gpu) == (held == WHOLE)
        assert keeps_all(weights, CPU) and keeps_all(weights, torch.device("mps"))  # one memory for both
    hooked: list[Any] = []
    monkeypatch.setattr(loading, "ROOM", weights // 2)
    monkeypatch.setattr(pipe, "enable_model_cpu_offload", lambda device: hooked.append(device))
    assert put(pipe, CPU).device == CPU and not hooked
    assert put(pipe, gpu) is pipe and hooked == [gpu]
