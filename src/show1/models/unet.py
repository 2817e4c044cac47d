"""The pixel video UNet: DeepFloyd IF's text-to-image UNet with temporal layers (Show-1, section 3.2; not in diffusers).

Shapes: B videos, C channels, F frames, H x W pixels, L text tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.activations import get_activation
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from show1.errors import CheckpointError, SettingsError
from show1.models.blocks import Block, BlockConfig, Context, DownBlock, LevelConfig, MidBlock, UpBlock
from show1.models.norms import replace_group_norms

DOWN_BLOCKS = {"ResnetDownsampleBlock3D": False, "SimpleCrossAttnDownBlock3D": True}
UP_BLOCKS = {"ResnetUpsampleBlock3D": False, "SimpleCrossAttnUpBlock3D": True}
MID_BLOCK = "UNetMidBlock3DSimpleCrossAttn"

LARGE = 128 * 128
"""Pixels of a picture from which on a CPU computes float32 with channels last in memory."""

# Options of the published class that no published checkpoint uses: accepted at the value that leaves them off.
UNUSED_OPTIONS: dict[str, Any] = {
    "center_input_sample": False,
    "class_embeddings_concat": False,
    "dual_cross_attention": False,
    "num_attention_heads": None,
    "num_class_embeds": None,
    "time_cond_proj_dim": None,
    "time_embedding_type": "positional",
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "timestep_post_act": None,
}


def per_level(value: Any, levels: int, name: str) -> list[Any]:
    """Repeat a single value for every level, or check that a list has one entry a level."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * levels
    if len(values) != levels:
        raise CheckpointError(f"config key '{name}' has {len(values)} entries, but the network has {levels} levels")
    return values


def block_attention(types: Sequence[str], known: dict[str, bool]) -> list[bool]:
    """Whether each named block has attention; an error for a block this network does not have."""
    for name in types:
        if name not in known:
            raise CheckpointError(f"unknown block type '{name}' in the network's config; known: {', '.join(known)}")
    return [known[name] for name in types]


class PixelUNet(ModelMixin, ConfigMixin):
    """Predicts noise (or v) of a pixel video from its noisy version, the timestep, text and, for upscalers, a noise level.

    Loads the published `config.json` and weights. Head widths, text keys and time embeddings follow DeepFloyd IF;
    temporal convolutions and transformers come after each residual block and attention (Show-1, section 3.2).
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        *,
        sample_size: int | None = None,
        in_channels: int = 3,
        out_channels: int = 6,
        block_out_channels: Sequence[int] = (320, 640, 960, 1280),
        layers_per_block: int | Sequence[int] = 3,
        down_block_types: Sequence[str] = ("ResnetDownsampleBlock3D", *["SimpleCrossAttnDownBlock3D"] * 3),
        mid_block_type: str = MID_BLOCK,
        up_block_types: Sequence[str] = (*["SimpleCrossAttnUpBlock3D"] * 3, "ResnetUpsampleBlock3D"),
        only_cross_attention: bool | Sequence[bool] = False,
        mid_block_only_cross_attention: bool | None = None,
        attention_head_dim: int | Sequence[int] = 64,
        cross_attention_dim: int = 1280,
        cross_attention_norm: str | None = "group_norm",
        encoder_hid_dim: int | None = 4096,
        encoder_hid_dim_type: str | None = "text_proj",
        addition_embed_type: str | None = "text",
        addition_embed_type_num_heads: int = 64,
        class_embed_type: str | None = None,
        act_fn: str = "gelu",
        time_embedding_act_fn: str | None = "gelu",
        time_embedding_dim: int | None = None,
        resnet_time_scale_shift: str = "scale_shift",
        resnet_skip_time_act: bool = True,
        resnet_out_scale_factor: float = 1.4142,
        mid_block_scale_factor: float = 1.0,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        transfromer_in_opt: bool = False,
        center_input_sample: bool = False,
        class_embeddings_concat: bool = False,
        dual_cross_attention: bool = False,
        num_attention_heads: int | None = None,
        num_class_embeds: int | None = None,
        time_cond_proj_dim: int | None = None,
        time_embedding_type: str = "positional",
        conv_in_kernel: int = 3,
        conv_out_kernel: int = 3,
        timestep_post_act: str | None = None,
    ) -> None:
        super().__init__()
        config = dict(self.config)
        self._refuse_unused_options(config)
        widths = list(block_out_channels)
        blocks = BlockConfig(
            time_channels=time_embedding_dim or widths[0] * 4,
            groups=norm_num_groups,
            eps=norm_eps,
            activation=act_fn,
            time_scale_shift=resnet_time_scale_shift,
            skip_time_act=resnet_skip_time_act,
            text_channels=cross_attention_dim,
            text_norm=cross_attention_norm,
        )
        self._build_embeddings(config, blocks.time_channels)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.transformer_in = TransformerTemporalModel(8, 64, in_channels=widths[0]) if transfromer_in_opt else None
        self._build_levels(config, blocks, widths)
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, widths[0], eps=norm_eps)
        self.conv_act = get_activation(act_fn)
        self.conv_out = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        replace_group_norms(self)

    @staticmethod
    def _refuse_unused_options(config: dict[str, Any]) -> None:
        for name, off in UNUSED_OPTIONS.items():
            if config[name] != off:
                raise CheckpointError(f"config key '{name}' is {config[name]!r}; this network only supports {off!r}")
        for name, wanted in {"encoder_hid_dim_type": "text_proj", "addition_embed_type": "text"}.items():
            if config[name] not in (wanted, None):
                raise CheckpointError(f"config key '{name}' is {config[name]!r}; only {wanted!r} or null is supported")
        if config["class_embed_type"] not in ("timestep", None):
            raise CheckpointError(f"config key 'class_embed_type' is {config['class_embed_type']!r}; only 'timestep' or null is supported")
        if config["mid_block_type"] != MID_BLOCK:
            raise CheckpointError(f"unknown mid block '{config['mid_block_type']}' in the network's config; known: {MID_BLOCK}")

    def _build_embeddings(self, config: dict[str, Any], time_channels: int) -> None:
        width = config["block_out_channels"][0]
        text_width = config["encoder_hid_dim"] or config["cross_attention_dim"]
        self.time_proj = Timesteps(width, config["flip_sin_to_cos"], config["freq_shift"])
        self.time_embedding = TimestepEmbedding(width, time_channels, act_fn=config["act_fn"])
        self.time_act = get_activation(config["time_embedding_act_fn"]) if config["time_embedding_act_fn"] else nn.Identity()
        self.class_embedding = None
        if config["class_embed_type"] == "timestep":
            self.class_embedding = TimestepEmbedding(width, time_channels, act_fn=config["act_fn"])
        self.encoder_hid_proj = None
        if config["encoder_hid_dim_type"] == "text_proj":
            self.encoder_hid_proj = nn.Linear(config["encoder_hid_dim"], config["cross_attention_dim"])
        self.add_embedding = None
        if config["addition_embed_type"] == "text":
            self.add_embedding = TextTimeEmbedding(text_width, time_channels, config["addition_embed_type_num_heads"])

    def _build_levels(self, config: dict[str, Any], blocks: BlockConfig, widths: list[int]) -> None:
        count = len(widths)
        down_attention = per_level(block_attention(config["down_block_types"], DOWN_BLOCKS), count, "down_block_types")
        up_attention = per_level(block_attention(config["up_block_types"], UP_BLOCKS), count, "up_block_types")
        layers = per_level(config["layers_per_block"], count, "layers_per_block")
        head_dims = per_level(config["attention_head_dim"], count, "attention_head_dim")
        only_text = per_level(config["only_cross_attention"], count, "only_cross_attention")
        scale = config["resnet_out_scale_factor"]

        skips = [widths[0]]
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            level = LevelConfig(attention=down_attention[i], head_dim=head_dims[i], only_cross_attention=only_text[i], scale=scale)
            last = i == count - 1
            self.down_blocks.append(DownBlock(blocks, level, widths[max(i - 1, 0)], width, layers[i], resample=not last))
            skips += [width] * (layers[i] + (not last))

        mid_only_text = config["mid_block_only_cross_attention"]
        if mid_only_text is None:
            # As published: a single flag goes for the middle too, a list leaves it off.
            mid_only_text = config["only_cross_attention"] if isinstance(config["only_cross_attention"], bool) else False
        level = LevelConfig(
            attention=True, head_dim=head_dims[-1], only_cross_attention=mid_only_text, scale=config["mid_block_scale_factor"]
        )
        self.mid_block = MidBlock(blocks, level, widths[-1])

        self.up_blocks = nn.ModuleList()
        below = widths[-1]
        for i, width in enumerate(reversed(widths)):
            level = LevelConfig(
                attention=up_attention[i],
                head_dim=head_dims[i],  # not reversed, as published
                only_cross_attention=only_text[count - 1 - i],
                scale=scale,
            )
            taken = [skips.pop() for _ in range(layers[count - 1 - i] + 1)]
            self.up_blocks.append(UpBlock(blocks, level, below, width, taken, resample=i < count - 1))
            below = width

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        for module in self.modules():
            if isinstance(module, Block):
                module.gradient_checkpointing = enable

    def embed_time(self, timestep: Tensor, text: Tensor, labels: Tensor | None) -> Tensor:
        """Time embedding [B, 1 or F, T] from timesteps [B], text [B, L, D] and labels [B] or [B, F]."""
        embedding = self.time_embedding(self.time_proj(timestep).to(text.dtype))[:, None]
        if self.class_embedding is not None:
            if labels is None:
                raise SettingsError("this network needs class_labels: the noise level of an upscaler's condition, or keyframes' moments")
            waves = self.time_proj(labels.flatten()).to(text.dtype)
            embedding = embedding + self.class_embedding(waves).unflatten(0, (len(labels), -1))
        if self.add_embedding is not None:
            embedding = embedding + self.add_embedding(text)[:, None]
        return self.time_act(embedding)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet3DConditionOutput | tuple[Tensor]:
        """Predict from a noisy video.

        Args:
            sample: noisy video with its condition [B, C, F, H, W]; H and W are multiples of 2 ** (levels - 1).
            timestep: training timesteps 0..999, one number or [B].
            encoder_hidden_states: text [B, L, D].
            class_labels: 0..999, noise level of an upscaler's condition, [B], or the moment of each keyframe, [B, F].

        Returns:
            The prediction [B, out_channels, F, H, W]: noise or v, then the variance channels where the network has them.
        """
        batch, _, frames, height, width = sample.shape
        factor = 2 ** (len(self.up_blocks) - 1)
        if height % factor or width % factor:
            raise SettingsError(f"a picture of {width}x{height} does not fit this network: width and height must be multiples of {factor}")
        timesteps = torch.as_tensor(timestep, device=sample.device).expand(batch)
        time = self.embed_time(timesteps, encoder_hidden_states, class_labels)
        text = encoder_hidden_states if self.encoder_hid_proj is None else self.encoder_hid_proj(encoder_hidden_states)
        context = Context(time.expand(-1, frames, -1).flatten(0, 1), text.repeat_interleave(frames, 0), frames)

        hidden = self.conv_in(sample.transpose(1, 2).flatten(0, 1).contiguous(memory_format=fast_layout(sample)))
        if self.transformer_in is not None:
            hidden = self.transformer_in(hidden, num_frames=frames, return_dict=False)[0]
        skips = [hidden]
        for down in self.down_blocks:
            hidden, made = down(hidden, context)
            skips += made
        hidden = self.mid_block(hidden, context)
        for up in self.up_blocks:
            hidden = up(hidden, skips.pop, context)
        hidden = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        video = hidden.unflatten(0, (batch, frames)).transpose(1, 2)
        return UNet3DConditionOutput(sample=video) if return_dict else (video,)


def fast_layout(sample: Tensor) -> torch.memory_format:
    """Channels last in memory, but for small pictures in float32 on a CPU.

    Those keep the published order, and with it the published sums to the last bit: many steps on them make more of a last bit than
    the little time is worth.
    """
    if sample.device.type != "cpu" or sample.shape[-2] * sample.shape[-1] >= LARGE:
        return torch.channels_last
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else sample.dtype
    return torch.contiguous_format if dtype == torch.float32 else torch.channels_last


PixelUNet.__module__ = "show1"  # what saved pipelines name: it outlives moves of this file
