"""What each stage of a cascade holds at its peak, found by running it without data.

The stages' own code is run, on networks without contents, for one step: at every step they hold the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from show1.cascade.call import Call
from show1.cascade.inputs import as_output
from show1.cascade.pipeline import Show1Pipeline
from show1.cascade.settings import SAMPLERS, STAGES, CascadeSettings
from show1.cascade.stage import STATE, Text
from show1.cascade.thrift import Thrift
from show1.memory.trace import peak_bytes, weight_dtypes, without_data

TEXT = "text"
PHASES = (TEXT, *STAGES)
SCALE_BYTES = torch.float32.itemsize


class StillScheduler:
    """Takes one step that changes nothing, and holds what a solver of second order holds."""

    order, init_noise_sigma = 1, 1.0
    config = SimpleNamespace(get=lambda name: None)

    @classmethod
    def from_config(cls, config: Any) -> StillScheduler:
        """Another one."""
        return cls()

    def set_timesteps(self, steps: int, device: torch.device) -> None:
        """One timestep, whatever is asked."""
        self.timesteps = torch.zeros(1, device=device)
        self.outputs: list[Tensor] = []

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """The sample."""
        return sample

    def add_noise(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Something of the same size."""
        return sample + noise

    def step(self, prediction: Tensor, timestep: Tensor, sample: Tensor) -> Any:
        """A step of two terms, of which one is kept for the next."""
        self.outputs.append(sample - prediction)
        return SimpleNamespace(prev_sample=sample + self.outputs[-1])


class Trial:
    """Runs single stages of a model without data.

    Args:
        model: a pipeline of outlines.
        settings: how it samples.
        device: where it is to run; any but the CPU need not be in this machine.
        has_image: whether the first frame is given.
    """

    def __init__(self, model: Any, settings: CascadeSettings, device: torch.device, has_image: bool = False) -> None:
        self.model, self.has_image = model, has_image
        self.device = device if device.type == "cpu" else torch.device("meta")  # which computes as on a GPU, and is everywhere
        samplers: dict[str, Any] = {name: replace(getattr(settings, name), steps=1, strength=None) for name in SAMPLERS}
        self.settings = replace(settings, **samplers)
        self.networks: dict[str, nn.Module] = {
            name: part.network for name, part in model.components.items() if isinstance(getattr(part, "network", None), nn.Module)
        }
        self._known: dict[tuple[Any, ...], int] = {}

    def used(self, phase: str) -> list[str]:
        """The networks that a phase runs, in order."""
        return {
            TEXT: ["text_encoder"],
            "keyframes": ["keyframes_unet"],
            "interpolation": ["interpolation_unet"],
            "pixel": ["pixel_upscale_unet"] if self.has_image else ["first_frame_unet", "pixel_upscale_unet"],
            "latent": ["latent_text_encoder", "latent_unet", "vae"],
        }[phase]

    def weights(self, name: str, dtype: torch.dtype, int8: bool = False) -> int:
        """Bytes of a network's weights; with `int8`, its matrices in 8 bits and a scale a row."""
        network = self.networks[name]
        matrices = {id(part.weight) for part in network.modules() if int8 and isinstance(part, nn.Linear)}
        return sum(
            weight.numel() + weight.shape[0] * SCALE_BYTES if id(weight) in matrices else weight.numel() * kind.itemsize
            for weight, kind in weight_dtypes(network, dtype)
        )

    def layers(self, name: str, dtype: torch.dtype) -> list[int]:
        """Bytes of the weights of each of a network's layers."""
        return [sum(w.numel() for w in part.parameters(recurse=False)) * dtype.itemsize for part in self.networks[name].modules()]

    def working(self, phase: str, dtype: torch.dtype, thrift: Thrift) -> int:
        """Bytes that a phase holds at its peak beside weights."""
        matters: tuple[Any, ...] = {
            TEXT: (),
            "interpolation": (thrift.windows, "interpolation" in thrift.apart),
            "latent": (thrift.tiling, "latent" in thrift.apart),
        }.get(phase, (thrift.apart,))
        key = (phase, dtype, *matters)
        if key not in self._known:
            for network in self.networks.values():
                without_data(network, self.device, dtype)
            compute = self._encode if phase == TEXT else self._stage(phase, thrift)
            self._known[key] = peak_bytes(compute, self.device)
        return self._known[key]

    def _encode(self) -> None:
        tokens = torch.zeros(2, self.settings.max_text_tokens, dtype=torch.long, device=self.device)
        self.networks["text_encoder"](tokens, attention_mask=torch.ones_like(tokens))

    def _stage(self, stage: str, thrift: Thrift) -> Callable[[], None]:
        still = StillScheduler()
        parts: dict[str, Any] = {n: still if n.endswith("scheduler") else self.networks.get(n) for n in self.model.components}
        pipeline = Show1Pipeline(**parts, settings=self.settings)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.spare(thrift)
        networks = self.used(stage)

        def compute() -> None:
            call = Call(self.settings, [0], pipeline._step_callbacks(None), self.device)
            given = self._given(stage)
            made = pipeline._run(call, self._text(networks[-1]), self._latent_text() if stage == "latent" else None, given, stage)
            made.frames = as_output(made.stages()[stage], "pt")

        return compute

    def _given(self, stage: str) -> dict[str, Tensor]:
        """What the stage before made, as it stands in for it."""
        if stage == STAGES[0]:
            return {}
        before = STAGES[STAGES.index(stage) - 1]
        width, height = self.settings.stage_sizes()[before]
        frames = self.settings.num_keyframes if before == STAGES[0] else len(self.settings.frame_times())
        return {before: torch.zeros(1, 3, frames, height, width, dtype=STATE, device=self.device)}

    def _text(self, name: str) -> Text:
        config: Any = self.model.keyframes_unet.config
        return self._embeddings(name, self.settings.max_text_tokens, config.encoder_hid_dim or config.cross_attention_dim)

    def _latent_text(self) -> Text:
        length = self.model.latent_tokenizer.model_max_length
        self.networks["latent_text_encoder"](torch.zeros(2, length, dtype=torch.long, device=self.device))
        return self._embeddings("latent_unet", length, self.model.latent_unet.config.cross_attention_dim)

    def _embeddings(self, name: str, length: int, width: int) -> Text:
        dtype = next(self.networks[name].parameters()).dtype
        positive, negative = (torch.zeros(1, length, width, dtype=dtype, device=self.device) for _ in range(2))
        return Text(positive, negative)
