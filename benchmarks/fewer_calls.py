"""Keyframes with calls left out or shortened: guidance in an interval, and what is computed kept for later steps.

Run: python benchmarks/fewer_calls.py SAMPLES [WAY ...]      (all ways of up to 16 steps where none is named)

Every way makes the same seen prompts with the same seeds. Prints a Markdown table: network operations and seconds a video beside the way
it is compared with (the first of its kind: all calls, guided or not), the mean square difference of the keyframes from that way's, and how
many of the prompts are read all right. Fewer steps stand beside them as the plain way to save the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from show1 import PixelUNet, Show1Pipeline
from show1.cascade import stage
from show1.evaluation.alignment import read_videos
from show1.evaluation.prompts import drawn_by, world_prompts
from show1.evaluation.reference import load_recogniser
from show1.evaluation.report import ALL_RIGHT
from show1.models.blocks import Context
from show1.models.unet import UNet3DConditionOutput, fast_layout

SEED = 7002
"""Away from the seeds that evaluation starts from."""
LAST = 1000
"""Training timesteps."""


def guided_in(low: float, high: float, network: Any, text: Tensor, negative: Tensor, scale: float, **_: Any) -> Any:
    """Guidance between two fractions of the noise schedule, the text alone elsewhere (Kynkaanniemi et al. 2024, eq. 5)."""

    def predict(sample: Tensor, timestep: Tensor) -> Tensor:
        if not low * LAST <= float(timestep) < high * LAST:
            return network(sample, timestep, text)
        without, wanted = network(torch.cat([sample, sample]), timestep, torch.cat([negative, text])).chunk(2)
        return without + scale * (wanted - without)

    return predict


def guided_every(steps: int, network: Any, text: Tensor, negative: Tensor, scale: float, **_: Any) -> Any:
    """The difference that guidance adds is computed at every so many steps, and kept in between."""
    kept: list[Tensor] = []
    count = iter(range(LAST))

    def predict(sample: Tensor, timestep: Tensor) -> Tensor:
        if next(count) % steps:
            return network(sample, timestep, text) + (scale - 1) * kept[-1]
        without, wanted = network(torch.cat([sample, sample]), timestep, torch.cat([negative, text])).chunk(2)
        kept[:] = [wanted - without]
        return without + scale * (wanted - without)

    return predict


def called_every(steps: int, network: Any, text: Tensor, *_: Any, **__: Any) -> Any:
    """A prediction is kept for the steps after it (never for the last)."""
    kept: list[Tensor] = []
    count = iter(range(LAST))

    def predict(sample: Tensor, timestep: Tensor) -> Tensor:
        if next(count) % steps == 0:
            kept[:] = [network(sample, timestep, text)]
        return kept[-1]

    return predict


class DeepEvery:
    """What the lower levels of the network hand up is computed at every so many calls, and kept in between (Ma et al. 2023, "DeepCache")."""

    def __init__(self, network: PixelUNet, steps: int) -> None:
        self.network, self.steps, self.count = network, steps, 0
        self.kept: Tensor | None = None

    def __call__(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, class_labels: Tensor | None = None) -> Any:
        net, (batch, _, frames) = self.network, sample.shape[:3]
        time = net.embed_time(timestep.expand(batch), encoder_hidden_states, class_labels)
        text = encoder_hidden_states if net.encoder_hid_proj is None else net.encoder_hid_proj(encoder_hidden_states)
        context = Context(time.expand(-1, frames, -1).flatten(0, 1), text.repeat_interleave(frames, 0), frames)
        hidden = net.conv_in(sample.transpose(1, 2).flatten(0, 1).contiguous(memory_format=fast_layout(sample)))
        skips = [hidden]
        top = net.down_blocks[0]
        for index in range(len(top.resnets)):
            hidden = top.layer(index, hidden, context)
            skips.append(hidden)
        if self.count % self.steps == 0:
            self.kept = self.below(hidden, context)
        self.count += 1
        hidden = net.up_blocks[-1](self.kept, skips.pop, context)
        hidden = net.conv_out(net.conv_act(net.conv_norm_out(hidden)))
        return UNet3DConditionOutput(sample=hidden.unflatten(0, (batch, frames)).transpose(1, 2))

    def below(self, hidden: Tensor, context: Context) -> Tensor:
        """Everything under the highest level."""
        top, *downs = self.network.down_blocks
        skips = []
        for down in top.downsamplers:
            hidden = top.resample(down, hidden, context)
            skips.append(hidden)
        for block in downs:
            hidden, made = block(hidden, context)
            skips += made
        hidden = self.network.mid_block(hidden, context)
        for block in self.network.up_blocks[:-1]:
            hidden = block(hidden, skips.pop, context)
        return hidden


@dataclass(frozen=True)
class Way:
    """One way to make keyframes."""

    steps: int
    scale: float = 1.0
    guided: Any = None
    deep: int = 0
    """Steps between calls of the lower levels; 0 calls them always."""

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[None]:
        """The pipeline calls its network so."""
        network = pipeline.keyframes_unet
        with mock.patch.object(stage, "guided", self.guided or stage.guided):
            if self.deep:
                network.forward = DeepEvery(network, self.deep)
            try:
                yield
            finally:
                if self.deep:
                    del network.forward


WAYS: dict[str, Way] = {
    "10 steps": Way(10),
    "7 steps": Way(7),
    "5 steps": Way(5),
    "10 steps, lower levels every 2nd": Way(10, deep=2),
    "10 steps, lower levels every 3rd": Way(10, deep=3),
    "10 steps, calls every 2nd": Way(10, guided=partial(called_every, 2)),
    "16 steps, guided": Way(16, 3.0),
    "16 steps": Way(16),
    "13 steps, guided": Way(13, 3.0),
    "10 steps, guided": Way(10, 3.0),
    "16 steps, guided at noise 0.2 to 0.8": Way(16, 3.0, partial(guided_in, 0.2, 0.8)),
    "16 steps, guided at noise 0.5 to 1": Way(16, 3.0, partial(guided_in, 0.5, 1.0)),
    "16 steps, guided at noise 0 to 0.5": Way(16, 3.0, partial(guided_in, 0.0, 0.5)),
    "16 steps, guided every 2nd": Way(16, 3.0, partial(guided_every, 2)),
    "16 steps, guided every 4th": Way(16, 3.0, partial(guided_every, 4)),
    "16 steps, guided, lower levels every 2nd": Way(16, 3.0, deep=2),
    "75 steps": Way(75),
    "38 steps": Way(38),
    "75 steps, lower levels every 5th": Way(75, deep=5),
    "75 steps, calls every 2nd": Way(75, guided=partial(called_every, 2)),
    "75 steps, guided": Way(75, 3.0),
    "38 steps, guided": Way(38, 3.0),
    "56 steps, guided": Way(56, 3.0),
    "75 steps, guided at noise 0.5 to 1": Way(75, 3.0, partial(guided_in, 0.5, 1.0)),
    "75 steps, guided every 2nd": Way(75, 3.0, partial(guided_every, 2)),
    "75 steps, guided, lower levels every 5th": Way(75, 3.0, deep=5),
}
"""Few steps as the bundled model takes them, more with guidance, and as many as published."""
FEW = [name for name, way in WAYS.items() if way.steps <= 16]


class Comparison:
    """Makes and reads the same prompts in every way."""

    def __init__(self, samples: int) -> None:
        self.pipeline, self.recogniser = Show1Pipeline.from_pretrained(), load_recogniser()
        self.pipeline.set_progress_bar_config(disable=True)
        self.asked = world_prompts(drawn_by(self.pipeline), "seen", samples, SEED)
        self.full: dict[bool, list[Tensor]] = {}
        """Keyframes of the first way of each kind, guided or not."""

    def row(self, name: str, way: Way) -> str:
        """Measure one way."""
        sampler = replace(self.pipeline.settings.keyframes, steps=way.steps, guidance=way.scale)
        settings = replace(self.pipeline.settings, keyframes=sampler)
        make: Callable[[Any], Any] = lambda one: self.pipeline(  # noqa: E731
            one.prompt, seed=one.seed % 2**31, settings=settings, stop_after="keyframes", output_type="pt"
        ).stages()
        right, made = dict.fromkeys([*ALL_RIGHT, "all"], 0), []
        with way.applied(self.pipeline), FlopCounterMode(display=False) as operations:
            make(self.asked[0])
        started = time.process_time()
        for one in self.asked:
            with way.applied(self.pipeline):
                made.append(make(one))
        seconds = (time.process_time() - started) / len(self.asked)
        for one, stages in zip(self.asked, made, strict=True):
            reading = read_videos(self.recogniser, one, stages)
            for part in ALL_RIGHT:
                right[part] += reading.right("keyframes", part)
            right["all"] += not set(reading.wrong("keyframes")) & set(ALL_RIGHT)
        videos = [stages["keyframes"] for stages in made]
        full = self.full.setdefault(way.scale > 1, videos)
        drift = sum(float((video - other).square().mean()) for video, other in zip(videos, full, strict=True)) / len(videos)
        cells = [name, f"{operations.get_total_flops() / 1e9:.1f}", f"{seconds:.2f}", f"{drift:.4f}"]
        return "| " + " | ".join([*cells, *(f"{count}/{len(videos)}" for count in right.values())]) + " |"


def main(samples: int, names: list[str]) -> None:
    """Print a row for each way."""
    comparison = Comparison(samples)
    columns = ["way", "GFLOP", "CPU seconds", "drift", *ALL_RIGHT, "all right"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for name in names or FEW:
        print(comparison.row(name, WAYS[name]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
