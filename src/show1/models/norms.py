"""Group norm whose backward pass is fast where channels come last in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 1024
"""Pixels below which torch's group norm takes several times as long with channels last, copies counted; from here on its backward pass does."""


class GroupNorm(nn.GroupNorm):
    """torch's group norm (Wu and He 2018), quick on a CPU where channels come last too.

    Small pictures in float32 keep torch's order of sums in inference, as the networks do (see `fast_layout`).
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, ...] -> the same shape and order in memory."""
        if not channels_last_on_cpu(input) or torch.compiler.is_compiling():
            return super().forward(input)
        if self.affine and input.requires_grad:
            normed: Tensor = ChannelsLastNorm.apply(input, self.weight, self.bias, self.num_groups, self.eps)
            return normed
        if input.dtype == torch.bfloat16 and is_small(input):
            return last(super().forward(input.contiguous()))
        return super().forward(input)


def is_small(pictures: Tensor) -> bool:
    """Whether pictures [N, C, H, W] have few pixels."""
    return pictures.shape[2:].numel() < FEW


def last(pictures: Tensor) -> Tensor:
    """Pictures with channels last in memory."""
    return pictures.contiguous(memory_format=torch.channels_last)


def channels_last_on_cpu(pictures: Tensor) -> bool:
    """True of pictures in main memory whose channels come last and not also first."""
    channels_last = pictures.ndim == 4 and pictures.is_contiguous(memory_format=torch.channels_last)
    return channels_last and not pictures.is_contiguous() and pictures.device.type == "cpu"


def replace_group_norms(network: nn.Module) -> None:
    """Put `GroupNorm`, with the same parameters, in the place of every group norm of torch's."""
    for module in network.modules():
        for name, norm in module.named_children():
            if type(norm) is nn.GroupNorm:
                ours = GroupNorm(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
                ours.weight, ours.bias = norm.weight, norm.bias
                setattr(module, name, ours)


class ChannelsLastNorm(torch.autograd.Function):
    """Small pictures by torch in the usual order; larger ones forward by torch, backward by two sums over pixels and two passes over the pictures."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        """[N, C, H, W] with channels last."""
        count, channels, height, width = pictures.shape
        # Strides of sides of 1 may be anything, and torch tells the order by them.
        pictures = pictures.as_strided(pictures.shape, (height * width * channels, 1, width * channels, channels))
        order = pictures.contiguous() if is_small(pictures) else pictures
        normed, mean, scale = torch.native_group_norm(order, weight, bias, count, channels, height * width, groups, eps)
        ctx.save_for_backward(order, weight, mean, scale)
        return last(normed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """With m, s the mean and 1/deviation of a group of D channels, P pixels and w the weight, y = (x - m) s w + b gives

        dx = s w dy + k x + l,  k = s^3 (m sum(w dy) - sum(w dy x)) / DP,  l = -k m - s sum(w dy) / DP,

        where sums go over the group's pixels and channels.
        """
        pictures, weight, mean, scale = ctx.saved_tensors
        count, channels, height, width = pictures.shape
        if is_small(pictures):
            sizes = (count, channels, height * width, mean.shape[1])
            dx, dweight, dbias = torch.ops.aten.native_group_norm_backward(
                gradient.contiguous(), pictures, mean, scale, weight, *sizes, [True, True, True]
            )
            return last(dx), dweight, dbias, None, None
        x, dy = (images.permute(0, 2, 3, 1).reshape(count, -1, channels) for images in (pictures, gradient))
        grouped = (count, mean.shape[1], -1)
        products, sums = ((dy * x).sum(1).float().view(grouped), dy.sum(1).float().view(grouped))  # over pixels, [N, G, D]
        mean, scale = mean.float()[..., None], scale.float()[..., None]
        weights = weight.float().view(1, mean.shape[1], -1)

        size = height * width * weights.shape[-1]
        weighted = (weights * sums).sum(-1, keepdim=True)
        of_x = scale**3 * (mean * weighted - (weights * products).sum(-1, keepdim=True)) / size
        constant = -of_x * mean - scale * weighted / size
        slope, factor, rest = (
            part.expand_as(products).reshape(count, 1, channels).to(x.dtype) for part in (of_x, scale * weights, constant)
        )
        dx = torch.addcmul(torch.addcmul(rest, x, slope), dy, factor)
        dweight = (scale * (products - mean * sums)).sum(0).flatten()
        dbias = sums.sum(0).flatten()
        return dx.view(count, height, width, channels).permute(0, 3, 1, 2), dweight.to(weight.dtype), dbias.to(weight.dtype), None, None
