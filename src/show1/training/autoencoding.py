"""Training of the latent stage's VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from show1.models.autoencoders import latent_distribution
from show1.training.chance import Chance
from show1.training.clips import LATENT_CELL, Clips, ClipSource, any_time, frame_times, random_crop
from show1.training.config import TrainConfig
from show1.training.recolouring import recoloured
from show1.training.task import Task

START_LOG_VARIANCE = -6.0
START_NOISE = 0.3


def start_linear(autoencoder: Any) -> None:
    """Make a new VAE of Stable Diffusion's kind all but linear, keeping the size of what passes through, with little noise on its latents.

    Residual branches and attention start at zero and the other convolutions keep the variance of their input, so that colours, which group
    norms all but hide from a network that starts as usual, pass from the first step.
    """
    with torch.no_grad():
        for name, module in autoencoder.named_modules():
            if name.endswith(("conv2", "to_out.0")):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d) and not name.endswith("conv1"):
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        channels = autoencoder.config.latent_channels
        nn.init.zeros_(autoencoder.quant_conv.weight[channels:])
        nn.init.constant_(autoencoder.quant_conv.bias[channels:], START_LOG_VARIANCE)


def start_averaging(autoencoder: Any) -> None:
    """Make a new VAE of the small kind average colours on the way down and repeat them on the way up, but for some noise on its weights.

    Without norms, the usual start shrinks or swells what passes through a dozen layers: its loss is three times as high after 100 steps.
    """
    with torch.no_grad():
        for name, module in autoencoder.named_modules():
            if name.endswith("conv.4"):  # a residual branch's last layer
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d) and ".conv." not in name:
                _pass_colors(module)


def _pass_colors(layer: nn.Conv2d) -> None:
    """A channel becomes itself, averaged where the layer shrinks the picture; other numbers of channels are mixed at random."""
    outputs, inputs = layer.out_channels, layer.in_channels
    noise = START_NOISE * torch.randn_like(layer.weight) * layer.weight[0].numel() ** -0.5
    passed = torch.zeros_like(layer.weight)
    passed[:, :, 1, 1] = torch.eye(outputs) if outputs == inputs else torch.randn(outputs, inputs) * inputs**-0.5
    if layer.stride[0] > 1:
        passed = passed[:, :, 1:2, 1:2].expand_as(passed) / passed[0, 0].numel()
    layer.weight.copy_(passed + noise)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Autoencoding(nn.Module):
    """A VAE whose forward pass gives all that its loss needs (one call, so that it can be wrapped for several processes)."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder: Any = autoencoder

    def forward(self, pictures: Tensor, generators: Any) -> tuple[Any, Tensor]:
        """Pictures [N, 3, H, W] and N generators -> the latents' distribution, and pictures decoded from a draw of it."""
        posterior = latent_distribution(self.autoencoder, pictures)
        return posterior, self.autoencoder.decode(posterior.sample(generators)).sample


class Vae(Task):
    """Pictures, whole or parts of them: reconstruction, absolute and squared, with a light pull towards normal latents.

    Mean colours under each latent weigh more: left to plain errors, a narrow latent spends itself on edges.
    """

    component = "vae"
    SQUARE_WEIGHT = 4.0
    COLOR_WEIGHT = 8.0
    KL_WEIGHT = 1e-6
    MEASURED = 64
    """Pictures that the latents' scale is measured on."""

    def __init__(self, config: TrainConfig, source: ClipSource, base: Path, device: torch.device, folder: Path) -> None:
        super().__init__(config, source, base, device)
        autoencoder = self.network
        if "network" not in config.start:
            with torch.random.fork_rng():
                torch.manual_seed(config.seed)
                start = start_linear if isinstance(autoencoder, AutoencoderKL) else start_averaging
                start(autoencoder)
        self.modules[self.component] = Autoencoding(autoencoder)

    def loss(self, chance: Chance) -> Tensor:
        pictures = shown = self.pictures(chance)
        if self.config.recolour is not None:
            shown = recoloured(pictures, self.config.recolour, chance)
        posterior, decoded = self.network(shown, chance.each)
        off = decoded.float() - pictures
        colors_off = functional.avg_pool2d(off, LATENT_CELL).square().mean()
        errors = off.abs().mean() + self.SQUARE_WEIGHT * off.square().mean() + self.COLOR_WEIGHT * colors_off
        return errors + self.KL_WEIGHT * posterior.kl().mean()

    def times(self, chance: Chance) -> Tensor:
        return any_time(chance)

    def sheet_times(self) -> Tensor:
        return frame_times(0, 1)

    def pictures(self, chance: Chance) -> Tensor:
        """Single pictures [B, 3, h, w], or parts of them."""
        clips = self.clips(chance)
        size = self.config.picture_size or clips.sizes.final
        return clips.draw(size, random_crop(size, self.config.crop, LATENT_CELL, chance.shared)).squeeze(2)

    def sample(self, clips: Clips) -> tuple[Tensor, Tensor]:
        drawn = clips.draw(clips.sizes.final)
        autoencoder: Any = self.network.autoencoder
        return drawn, autoencoder.decode(latent_distribution(autoencoder, drawn.squeeze(2)).mode()).sample.unsqueeze(2)

    def saved(self, name: str, module: Any) -> Any:
        return module.autoencoder

    @torch.no_grad()
    def finish(self) -> None:
        """Measure the latents' standard deviation; its inverse is the `scaling_factor` that makes them unit variance."""
        if self.config.adapter is not None:
            return  # the pipeline keeps its own
        autoencoder: Any = self.network.autoencoder
        pictures = self.pictures(Chance(range(self.MEASURED), batch_seed=self.config.seed))
        deviation = float(latent_distribution(autoencoder, pictures).mean.std())
        autoencoder.register_to_config(scaling_factor=round(1 / deviation, 5))
