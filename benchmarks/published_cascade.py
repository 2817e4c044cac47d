"""The published code, stage by stage, on the networks of a saved pipeline; run by `against_published.py` with an interpreter
that has the published code's dependencies (diffusers 0.19). Nothing of show1 is imported here.

Run: PYTHON published_cascade.py CODE JOB RESULT

JOB is a folder: `model/` (a saved pipeline), `job.json` (settings, seed, dtype, threads), `inputs.npz` (text embeddings and what each
stage starts from). Writes each stage's video, seconds and peak memory above the imported process.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main(code: str, job: Path, result: Path) -> None:
    """Run every stage from its recorded input."""
    sys.path.insert(0, code)
    import torch

    options = json.loads((job / "job.json").read_text())
    torch.set_num_threads(options["threads"])
    inputs = {name: torch.from_numpy(array) for name, array in np.load(job / "inputs.npz").items()}
    stages = Stages(job / "model", options, inputs)
    imported, seconds, videos = peak_memory(), {}, {}
    for name in ("keyframes", "interpolation", "pixel", "latent"):
        run = getattr(stages, name)()
        started = time.perf_counter()
        with torch.no_grad():
            videos[name] = run().float().numpy()
        seconds[name] = time.perf_counter() - started
    np.savez(result.with_suffix(".npz"), **videos)
    result.write_text(json.dumps({"seconds": seconds, "memory": peak_memory() - imported}))


def peak_memory() -> int:
    """Most bytes that were resident so far (not `ru_maxrss`, which a new process has from the one that started it)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class Stages:
    """Makers of the published pipelines: each loads its networks and returns what is to be timed."""

    def __init__(self, model: Path, options: dict[str, Any], inputs: dict[str, Any]) -> None:
        import torch

        self.model, self.settings, self.seed, self.inputs = model, options["settings"], options["seed"], inputs
        self.dtype = getattr(torch, options["dtype"])
        self.text = {"prompt_embeds": inputs["text"].to(self.dtype), "negative_prompt_embeds": inputs["negative"].to(self.dtype)}

    def keyframes(self) -> Any:
        from showone.pipelines import TextToVideoIFPipeline

        pipe = quiet(TextToVideoIFPipeline(None, None, self.network("keyframes_unet"), self.scheduler("keyframes_scheduler"), None))
        width, height = self.settings["keyframe_size"]
        call = dict(self.sampler("keyframes"), num_frames=self.settings["num_keyframes"], height=height, width=width)
        return lambda: pipe(**call, generator=self.generator(), **self.text, output_type="pt").frames

    def interpolation(self) -> Any:
        import torch
        from diffusers.utils.torch_utils import randn_tensor
        from showone.pipelines import TextToVideoIFInterpPipeline

        unet, scheduler = self.network("interpolation_unet"), self.scheduler("interpolation_scheduler")
        pipe = quiet(TextToVideoIFInterpPipeline(None, None, unet, scheduler, None))
        keyframes, between = self.inputs["keyframes"].to(self.dtype), self.settings["between"]
        batch, channels, count, height, width = keyframes.shape

        def run() -> Any:
            length, step = between + 2, between + 1
            noise = randn_tensor((batch, channels, length, height, width), dtype=self.dtype, generator=self.generator())
            made = torch.zeros(batch, channels, (count - 1) * step + 1, height, width, dtype=self.dtype)
            for i in range(count - 1):
                ends = torch.zeros(batch, channels, length, height, width, dtype=self.dtype)
                ends[:, :, 0], ends[:, :, -1] = keyframes[:, :, i], keyframes[:, :, i + 1]
                call = dict(self.sampler("interpolation"), num_frames=length, height=height, width=width, cond_interpolation=True)
                window = pipe(pixel_values=ends, init_noise=noise, generator=self.generator(), **call, **self.text, output_type="pt")
                made[:, :, i * step : i * step + length] = window.frames
            return made

        return run

    def pixel(self) -> Any:
        import torch
        from diffusers import IFSuperResolutionPipeline, UNet2DConditionModel
        from showone.pipelines.pipeline_t2v_sr_pixel_cond import TextToVideoIFSuperResolutionPipeline_Cond

        noising = self.scheduler("pixel_upscale_noising_scheduler")
        image_unet = self.network("first_frame_unet", UNet2DConditionModel)
        nothing = (None, None, None)
        image = IFSuperResolutionPipeline(
            None,
            None,
            image_unet,
            self.scheduler("first_frame_scheduler"),
            self.scheduler("first_frame_noising_scheduler"),
            *nothing,
            requires_safety_checker=False,
        )
        unet = self.network("pixel_upscale_unet")
        video = TextToVideoIFSuperResolutionPipeline_Cond(None, None, unet, self.scheduler("pixel_upscale_scheduler"), noising, None)
        low, window, stride = self.inputs["interpolation"].to(self.dtype), self.settings["window"], self.settings["stride"]
        size = {"height": low.shape[-2] * self.settings["pixel_scale"], "width": low.shape[-1] * self.settings["pixel_scale"]}
        quiet(image), quiet(video)

        def run() -> Any:
            made = torch.zeros(*low.shape[:3], size["height"], size["width"], dtype=self.dtype)
            call = dict(self.sampler("first_frame"), **size, **self.text, output_type="pt")
            first = image(image=low[:, :, 0], generator=self.generator(), **call).images.unsqueeze(2)
            call = dict(self.sampler("pixel"), **size, **self.text, output_type="pt")
            for i in range(0, low.shape[2] - window + 1, stride):
                led = first if i == 0 else made[:, :, i : i + 1]
                part = video(image=low[:, :, i : i + window], first_frame_cond=led, generator=self.generator(), **call)
                made[:, :, i : i + window] = part.frames
            return made

        return run

    def latent(self) -> Any:
        import torch
        from diffusers import AutoencoderKL, VideoToVideoSDPipeline
        from diffusers.models.unet_3d_condition import UNet3DConditionModel
        from PIL import Image
        from showone.pipelines.pipeline_t2v_base_pixel import tensor2vid

        class NoText(torch.nn.Module):  # the pipeline asks its text encoder for a dtype and a device
            dtype, device = self.dtype, torch.device("cpu")

        vae, unet = self.network("vae", AutoencoderKL), self.network("latent_unet", UNet3DConditionModel)
        follow_groups(unet)
        pipe = quiet(VideoToVideoSDPipeline(vae, NoText(), None, unet, self.scheduler("latent_scheduler")))
        size = tuple(self.settings["final_size"])
        video = self.inputs["pixel"]
        names = {"prompt_embeds": "latent_text", "negative_prompt_embeds": "latent_negative"}
        text = {name: self.inputs[ours].to(self.dtype) for name, ours in names.items()}
        call = {**self.sampler("latent"), "strength": self.settings["latent"]["strength"], **text, "output_type": "pt"}

        def run() -> Any:
            pictures = [Image.fromarray(picture).resize(size) for picture in tensor2vid(video.clone())]
            return pipe(video=pictures, generator=self.generator(), **call).frames

        return run

    def sampler(self, name: str) -> dict[str, Any]:
        values = self.settings[name]
        call = {"num_inference_steps": values["steps"], "guidance_scale": values["guidance"]}
        return call if values["noise_level"] is None else {**call, "noise_level": values["noise_level"]}

    def generator(self) -> Any:
        import torch

        return torch.manual_seed(self.seed)

    def network(self, name: str, cls: Any = None) -> Any:
        """A network with the pipeline's weights, in the published (or a library's) class."""
        from showone.models import UNet3DConditionModel

        return load_published(cls or UNet3DConditionModel, self.model / name).to(self.dtype).eval()

    def scheduler(self, name: str) -> Any:
        import diffusers

        config = json.loads((self.model / name / "scheduler_config.json").read_text())
        cls = getattr(diffusers, config["_class_name"])
        known = inspect.signature(cls.__init__).parameters
        return cls(**{key: float(value) if key == "lambda_min_clipped" else value for key, value in config.items() if key in known})


def load_published(cls: Any, folder: Path) -> Any:
    """A network from its folder, in float32, in an older class that does not know all keys of its config."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    known = inspect.signature(cls.__init__).parameters
    network = cls(**{key: value for key, value in config.items() if key in known})
    weights: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(file))
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    return network


def follow_groups(network: Any) -> None:
    """Give temporal layers and transformers as many norm groups as the config says, as newer libraries do: diffusers 0.19 always had 32."""
    import torch

    for module in network.modules():
        if type(module).__name__ in ("TemporalConvLayer", "TransformerTemporalModel", "Transformer2DModel"):
            for norm in module.modules():
                if isinstance(norm, torch.nn.GroupNorm):
                    norm.num_groups = network.config.norm_num_groups


def quiet(pipe: Any) -> Any:
    """Without progress bars."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
