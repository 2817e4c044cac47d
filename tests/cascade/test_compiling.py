"""Compiled networks: the same videos, one graph for each network, and an error that names the way out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo
from torch import fx

from show1 import Show1Pipeline
from show1.errors import SettingsError

PROMPT = "a rocket flies over the ocean at night"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_compiled_networks_make_the_same_video_of_one_graph_each(pipeline: Show1Pipeline, saved_pipeline: Path) -> None:
    wanted = pipeline(PROMPT, seed=3, output_type="pt")
    graphs: list[fx.GraphModule] = []

    def keep(graph: fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    compiled = Show1Pipeline.from_pretrained(saved_pipeline).compile_networks(backend=keep, fullgraph=True)
    for _ in range(2):
        made = compiled(PROMPT, seed=3, output_type="pt")
    assert (made.frames - wanted.frames).abs().max() < 1e-4
    assert len(graphs) == 5, "one for each denoising network, for all steps, windows and calls"


def test_a_missing_compiler_is_named(saved_pipeline: Path) -> None:
    def refuse(graph: fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        raise RuntimeError("no compiler here")

    compiled = Show1Pipeline.from_pretrained(saved_pipeline).compile_networks(backend=refuse)
    with pytest.raises(SettingsError, match=r"keyframes_unet could not be compiled here: .*no compiler here"):
        compiled(PROMPT, seed=3, output_type="pt")
