"""Building blocks of the pixel video UNet: DeepFloyd IF's residual and text attention blocks with temporal layers between.

Shapes: B videos, F frames, C channels, H x W pixels. Every block works on frames stacked as [B*F, C, H, W]. Where channels
come last in memory, the layers over time and over text see the same memory without a copy; no block changes the order.
Parameter names follow the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from show1.models.attention import FrameAttention, TextAttention
from show1.models.norms import GroupNorm, replace_group_norms

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORAL_DROPOUT = 0.1  # as published; active in training mode only


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """What all blocks of one network share."""

    time_channels: int
    """Width of the time embedding."""
    groups: int
    """Groups of the spatial group norms."""
    eps: float
    """Epsilon of the residual blocks' norms."""
    activation: str
    """Activation of the residual blocks."""
    time_scale_shift: str
    """How the time embedding enters a residual block: `default` (added) or `scale_shift`."""
    skip_time_act: bool
    """True when the time embedding was already activated."""
    text_channels: int
    """Width of the projected text that attention reads."""
    text_norm: str | None
    """Norm of the text inside attention, or None."""


@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """One resolution level of the network."""

    attention: bool
    """Whether text attention and temporal transformers are there."""
    head_dim: int
    """Width of a head of the text attention (and, as published, the number of heads of the temporal one)."""
    only_cross_attention: bool
    """True: queries see the text alone; False: text and pixels."""
    scale: float
    """Divisor of the residual blocks' output."""


class TemporalConv(TemporalConvLayer):
    """diffusers' four 3x1x1 convolutions over time, run as 2D convolutions over (frame, pixel): same result, faster on CPUs."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, dropout=TEMPORAL_DROPOUT)
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
            # Padding tells first frames from last by what is missing beside them: start where something always is.
            nn.init.ones_(cast("nn.GroupNorm", stage[0]).bias)

    def forward(self, hidden: Tensor, num_frames: int = 1) -> Tensor:
        """[B*F, C, H, W] -> the same shape."""
        frames, channels, height, width = hidden.shape
        shape = (frames // num_frames, num_frames, channels, height * width)
        video = hidden.reshape(shape).transpose(1, 2)
        video = residual = video if hidden.is_contiguous(memory_format=torch.channels_last) else video.contiguous()
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
            *before, conv = cast("nn.Sequential", stage)
            for layer in before:
                video = activated(layer, video) if isinstance(layer, nn.SiLU) else layer(video)
            video = functional.conv2d(video, conv.weight.squeeze(-1), conv.bias, padding=(1, 0))
        return (residual + video).transpose(1, 2).reshape(hidden.shape)


class TemporalTransformer(TransformerTemporalModel):
    """diffusers' temporal transformer, identity at the start: attends over the frames at each pixel, twice, then a feed-forward.

    As published, `head_dim` is the number of heads and `channels // head_dim` their width.
    """

    def __init__(self, channels: int, head_dim: int, groups: int) -> None:
        super().__init__(head_dim, channels // head_dim, in_channels=channels, norm_num_groups=groups)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        for module in self.modules():
            if isinstance(module, Attention):
                module.set_processor(FrameAttention())  # type: ignore[arg-type]

    def forward(self, hidden: Tensor, num_frames: int = 1) -> Tensor:  # type: ignore[override]
        """[B*F, C, H, W] -> the same shape."""
        frames, channels, height, width = hidden.shape
        video = hidden.reshape(frames // num_frames, num_frames, channels, height * width).transpose(1, 2)
        tokens = self.norm(video).permute(0, 3, 2, 1).reshape(-1, num_frames, channels)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens)
        tokens = self.proj_out(tokens).reshape(-1, height * width, num_frames, channels).transpose(1, 2)
        return hidden + tokens.reshape(frames, height, width, channels).permute(0, 3, 1, 2)


class ResidualBlock(ResnetBlock2D):
    """diffusers' residual block, without its copies to the usual order in memory: of what it learns from, and of 64 pictures and more on the way up."""

    norm2: GroupNorm

    def __init__(self, *, up: bool = False, **config: Any) -> None:
        super().__init__(up=up, **config)
        replace_group_norms(self)
        if up:
            self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        """Pictures [N, C, H, W] and their time embedding [N, T] -> [N, C', H', W']."""
        change = self.upsample or self.downsample or nn.Identity()
        residual, hidden = change(hidden), change(activated(self.nonlinearity, self.norm1(hidden)))
        hidden = self.conv1(hidden)
        embedded = self.time_emb_proj(time if self.skip_time_act else self.nonlinearity(time))[:, :, None, None]
        if self.time_embedding_norm == "scale_shift":
            scale, shift = embedded.chunk(2, dim=1)
            hidden = self.norm2.modulated(hidden, scale, shift)
        else:
            hidden = self.norm2(hidden + embedded)
        hidden = self.conv2(self.dropout(activated(self.nonlinearity, hidden)))
        if self.conv_shortcut is not None:
            residual = self.conv_shortcut(residual)
        return (residual + hidden).div_(self.output_scale_factor)


def activated(activation: nn.Module, hidden: Tensor) -> Tensor:
    """An activation of what nothing else reads: SiLU and GELU in its place in memory, unless it is learned from."""
    if torch.is_grad_enabled():
        return activation(hidden)  # type: ignore[no-any-return]
    if isinstance(activation, nn.SiLU):
        return functional.silu(hidden, inplace=True)
    if isinstance(activation, nn.GELU):
        return torch.ops.aten.gelu_(hidden, approximate=activation.approximate)  # type: ignore[no-any-return]
    return activation(hidden)  # type: ignore[no-any-return]


def residual_block(config: BlockConfig, channels_in: int, channels_out: int, scale: float, **resample: bool) -> ResidualBlock:
    """A residual block of IF; `down=True` or `up=True` also changes the resolution by two."""
    return ResidualBlock(
        in_channels=channels_in,
        out_channels=channels_out,
        temb_channels=config.time_channels,
        eps=config.eps,
        groups=config.groups,
        time_embedding_norm=config.time_scale_shift,
        non_linearity=config.activation,
        skip_time_act=config.skip_time_act,
        output_scale_factor=scale,
        **resample,
    )


def text_attention(config: BlockConfig, level: LevelConfig, channels: int) -> Attention:
    """Self-attention over pixels with added text keys and values (Imagen's and IF's text attention)."""
    return Attention(
        query_dim=channels,
        cross_attention_dim=channels,
        heads=channels // level.head_dim,
        dim_head=level.head_dim,
        added_kv_proj_dim=config.text_channels,
        norm_num_groups=config.groups,
        bias=True,
        upcast_softmax=True,
        only_cross_attention=level.only_cross_attention,
        cross_attention_norm=config.text_norm,
        processor=TextAttention(),
    )


class Context:
    """What every layer of one forward pass reads: time embedding [B*F, T], text [B*F, L, D], the frame count."""

    def __init__(self, time: Tensor, text: Tensor, num_frames: int) -> None:
        self.time = time
        self.text = text
        self.num_frames = num_frames


class Block(nn.Module):
    """Residual block -> temporal convolution (-> text attention -> temporal transformer), once per layer."""

    gradient_checkpointing = False

    def __init__(self, config: BlockConfig, level: LevelConfig, widths: list[tuple[int, int]]) -> None:
        """`widths`: channels in and out of each layer's residual block."""
        super().__init__()
        self.resnets = nn.ModuleList(residual_block(config, i, o, level.scale) for i, o in widths)
        self.temp_convs = nn.ModuleList(TemporalConv(o) for _, o in widths)
        if level.attention:
            self.attentions = nn.ModuleList(text_attention(config, level, o) for _, o in widths)
            self.temp_attentions = nn.ModuleList(TemporalTransformer(o, level.head_dim, config.groups) for _, o in widths)

    def layer(self, index: int, hidden: Tensor, context: Context) -> Tensor:
        """One layer."""
        return self._kept(self._layer, index, hidden, context)

    def resample(self, sampler: nn.Module, hidden: Tensor, context: Context) -> Tensor:
        """A residual block that changes the resolution."""
        return self._kept(sampler, hidden, context.time)

    def _kept(self, part: Callable[..., Tensor], *args: Any) -> Tensor:
        """A part's output; in training with `gradient_checkpointing`, activations inside it are recomputed instead of kept."""
        if self.training and self.gradient_checkpointing:
            return checkpoint(part, *args, use_reentrant=False)  # type: ignore[return-value]
        return part(*args)

    def _layer(self, index: int, hidden: Tensor, context: Context) -> Tensor:
        return self._attend(index, self._convolve(index, hidden, context), context)

    def _convolve(self, index: int, hidden: Tensor, context: Context) -> Tensor:
        hidden = self.resnets[index](hidden, context.time)
        return self.temp_convs[index](hidden, context.num_frames)

    def _attend(self, index: int, hidden: Tensor, context: Context) -> Tensor:
        if not hasattr(self, "attentions"):
            return hidden
        hidden = self.attentions[index](hidden, encoder_hidden_states=context.text)
        return self.temp_attentions[index](hidden, context.num_frames)


class DownBlock(Block):
    """Layers of one level on the way down, then a residual block that halves the resolution (but at the last level)."""

    def __init__(
        self, config: BlockConfig, level: LevelConfig, channels_in: int, channels_out: int, layers: int, *, resample: bool
    ) -> None:
        widths = [(channels_in if i == 0 else channels_out, channels_out) for i in range(layers)]
        super().__init__(config, level, widths)
        if resample:
            down = residual_block(config, channels_out, channels_out, level.scale, down=True)
            self.downsamplers = nn.ModuleList([down])

    def forward(self, hidden: Tensor, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Return the output and what the way up will concatenate."""
        skips = []
        for index in range(len(self.resnets)):
            hidden = self.layer(index, hidden, context)
            skips.append(hidden)
        for down in getattr(self, "downsamplers", ()):
            hidden = self.resample(down, hidden, context)
            skips.append(hidden)
        return hidden, skips


class MidBlock(Block):
    """The lowest level: a residual block, then one attention and residual block between the ways down and up."""

    def __init__(self, config: BlockConfig, level: LevelConfig, channels: int) -> None:
        super().__init__(config, level, [(channels, channels)] * 2)
        del self.attentions[1], self.temp_attentions[1]

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        hidden = self.layer(0, hidden, context)
        return self._kept(self._convolve, 1, hidden, context)


class UpBlock(Block):
    """Layers of one level on the way up, each fed a skip connection, then a residual block that doubles the resolution."""

    def __init__(self, config: BlockConfig, level: LevelConfig, below: int, channels: int, skips: list[int], *, resample: bool) -> None:
        """`below`: channels coming up from the level below; `skips`: channels of the skip connections, in the order of use."""
        widths = [((below if i == 0 else channels) + skip, channels) for i, skip in enumerate(skips)]
        super().__init__(config, level, widths)
        if resample:
            self.upsamplers = nn.ModuleList([residual_block(config, channels, channels, level.scale, up=True)])

    def forward(self, hidden: Tensor, take_skip: Callable[[], Tensor], context: Context) -> Tensor:
        """`take_skip` hands out the skip connections, last made first."""
        for index in range(len(self.resnets)):
            hidden = self.layer(index, torch.cat([hidden, take_skip()], dim=1), context)
        for up in getattr(self, "upsamplers", ()):
            hidden = self.resample(up, hidden, context)
        return hidden
