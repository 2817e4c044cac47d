"""Group norm for channels that come last in memory: its backward pass on a CPU, and 16 bits on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 1024
"""Pixels below which torch's group norm takes several times as long with channels last, copies counted; from here on its backward pass does."""
NARROW = 64
"""Channels up to which numbers of 16 bits are scaled faster by a diagonal matrix than one by one."""
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Orders in memory with channels last, by the number of dimensions: of pictures, videos and the weights that convolve them."""
MANY = 2**24
"""Numbers from which on a GPU computes norms in their order in memory: below, starting a dozen small kernels takes longer than copies."""


class GroupNorm(nn.GroupNorm):
    """torch's group norm (Wu and He 2018), quick where channels come last too.

    Small pictures in float32 keep torch's order of sums in inference, as the networks do (see `fast_layout`).
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, ...] -> the same shape and, but for few numbers on a GPU, order in memory."""
        if norms_in_order(input):
            return self.in_order(input)
        if not channels_last_on_cpu(input) or torch.compiler.is_compiling():
            return super().forward(input)
        if self.affine and input.requires_grad:
            return self.learning(input, self.weight, self.bias)
        if input.dtype == torch.bfloat16 and is_small(input):
            return last(super().forward(input.contiguous()))
        return super().forward(input)

    def modulated(self, input: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """[N, C, H, W] normed, times 1 + scale, plus shift, both [N, C, 1, 1] (Dhariwal and Nichol 2021, eq. 1)."""
        if norms_in_order(input):
            return self.in_order(input, scale.flatten(1).float(), shift.flatten(1).float())
        if not (channels_last_on_cpu(input) and input.requires_grad) or is_small(input) or torch.compiler.is_compiling():
            normed = self(input)
            return normed * (1 + scale) + shift if torch.is_grad_enabled() else normed.mul_(1 + scale).add_(shift)  # type: ignore[no-any-return]
        scale, shift = 1 + scale.flatten(1), shift.flatten(1)
        return self.learning(input, self.weight * scale, self.bias * scale + shift)

    def in_order(self, input: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Of 16 bits with channels last, [N, C, ...]; sums in float32. `scale` and `shift` [N, C] as in `modulated`.

        With m, v the mean and variance of a group, y = x a + b, a = w (v + eps)^-1/2, b = bias - m a: two passes to read, one to write.
        """
        count, channels = input.shape[:2]
        pixels = input.movedim(1, -1).reshape(count, -1, channels)
        total, squares = sums(pixels)
        size = pixels.shape[1] * channels // self.num_groups
        mean, square = (part.unflatten(1, (self.num_groups, -1)).sum(2, keepdim=True) / size for part in (total, squares))
        deviation = (square - mean.square()).clamp_min(0).add(self.eps).rsqrt()
        factor = (deviation * self.weight.float().unflatten(0, (self.num_groups, -1))).flatten(1)
        plus = self.bias.float() - mean.expand(-1, -1, channels // self.num_groups).flatten(1) * factor
        if scale is not None and shift is not None:
            factor, plus = factor * (1 + scale), plus * (1 + scale) + shift
        made = multiplied(pixels, factor[:, None], plus[:, None])
        return made.unflatten(1, input.shape[2:]).movedim(-1, 1)

    def learning(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Channels last, with a weight and a bias for all pictures [C] or for each of them [N, C]."""
        normed: Tensor = ChannelsLastNorm.apply(input, weight, bias, self.num_groups, self.eps)
        return normed


def is_small(pictures: Tensor) -> bool:
    """Whether pictures [N, C, H, W] have few pixels."""
    return pictures.shape[2:].numel() < FEW


def last(pictures: Tensor) -> Tensor:
    """Pictures with channels last in memory."""
    return pictures.contiguous(memory_format=torch.channels_last)


def norms_in_order(pictures: Tensor) -> bool:
    """True of pictures and videos that a GPU norms as they lie in memory; torch would copy them to its usual order."""
    if pictures.device.type not in ("cuda", "meta") or pictures.dtype.itemsize != 2 or pictures.ndim not in LAST:
        return False
    if (pictures.requires_grad and torch.is_grad_enabled()) or not (torch.compiler.is_compiling() or pictures.numel() >= MANY):
        return False
    return pictures.is_contiguous(memory_format=LAST[pictures.ndim]) and not pictures.is_contiguous()


def sums(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Of [N, P, C] and of its squares over P, in float32: [N, C]."""
    if torch.compiler.is_compiling():  # which makes one pass of both
        wide = pixels.float()
        return wide.sum(1), wide.square().sum(1)
    return pixels.sum(1, dtype=torch.float32), torch.linalg.vector_norm(pixels, dim=1, dtype=torch.float32).square()


def multiplied(pixels: Tensor, factor: Tensor, plus: Tensor) -> Tensor:
    """[N, P, C] times and plus float32 numbers [N, 1, C], in one pass, in the dtype of the first."""
    if torch.compiler.is_compiling():
        return (pixels.float() * factor + plus).to(pixels.dtype)
    return torch.addcmul(plus, pixels, factor, out=torch.empty_like(pixels))


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
    """Small pictures by torch in the usual order; larger ones forward by torch, backward by its batch norm of one picture, fast in this order."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        """[N, C, H, W] with channels last; weight and bias [C], or [N, C] where pictures are not small."""
        count, channels, height, width = pictures.shape
        # Strides of sides of 1 may be anything, and torch tells the order by them.
        pictures = pictures.as_strided(pictures.shape, (height * width * channels, 1, width * channels, channels))
        order = pictures.contiguous() if is_small(pictures) else pictures
        affine = (weight, bias) if weight.ndim == 1 else (None, None)
        normed, mean, scale = torch.native_group_norm(order, *affine, count, channels, height * width, groups, eps)
        ctx.save_for_backward(order, weight, mean, scale)
        return last(normed) if weight.ndim == 1 else scaled((normed, weight), plus=bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The gradients of the pictures, the weight and the bias."""
        pictures, weight, *moments = ctx.saved_tensors
        count, channels, height, width = pictures.shape
        groups = moments[0].shape[1]
        if is_small(pictures):
            sizes = (count, channels, height * width, groups)
            usual = torch.ops.aten.native_group_norm_backward(gradient.contiguous(), pictures, *moments, weight, *sizes, [True] * 3)
            return last(usual[0]), *usual[1:], None, None
        backward = backward_by_channel if groups == channels else backward_in_groups
        dx, *rest = backward(gradient, pictures, *(in_full(part) for part in (weight.expand(count, channels), *moments)))
        return dx, *(part.sum_to_size(weight.shape).to(weight.dtype) for part in rest), None, None


def in_full(values: Tensor) -> Tensor:
    """Values of 16 bits in 32."""
    return values.float() if values.element_size() < 4 else values


def backward_by_channel(gradient: Tensor, pictures: Tensor, weight: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of one channel a group: the gradients of pictures [N, C, H, W], weights and biases [N, C], from weights, means and 1/deviations [N, C]."""
    dx, dweight, dbias = batch_norms_backward(gradient, pictures, weight, mean, scale, [True, True, True])
    return last(torch.cat(dx)), torch.stack(dweight), torch.stack(dbias)


def backward_in_groups(gradient: Tensor, pictures: Tensor, weight: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With m, s the mean and 1/deviation of a group of D channels, P pixels, and w the weight, y = (x - m) s w + b gives

    dw = s sum(dy (x - m)),  db = sum(dy),  dx = s w dy + k x + l,  k = -s^2 sum(w dw) / DP,  l = -k m - s sum(w db) / DP,

    where dw and db are sums over a channel's pixels, the others over a group's channels.
    """
    channels, pixels = pictures.shape[1], pictures.shape[2:].numel()
    mean, scale = (part[..., None].expand(-1, -1, channels // mean.shape[1]) for part in (mean, scale))  # [N, G, D]
    sums = batch_norms_backward(gradient, pictures, weight, mean.flatten(1), scale.flatten(1), [False, True, True])
    dweight, dbias = (torch.stack(part) for part in sums[1:])
    of_weight, of_bias = ((weight * part).view(mean.shape).mean(-1, keepdim=True) / pixels for part in (dweight, dbias))
    slope = -scale.square() * of_weight
    rest = -slope * mean - scale * of_bias
    dx = scaled((pictures, slope.flatten(1)), (gradient, scale.flatten(1) * weight), plus=rest.flatten(1))
    return dx, dweight, dbias


def batch_norms_backward(
    gradient: Tensor, pictures: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, mask: list[bool]
) -> list[tuple[Tensor, ...]]:
    """torch's batch norm backward, picture by picture: gradients of pictures [1, C, H, W], weights and biases [C], where the mask has them."""
    one = torch.ops.aten.native_batch_norm_backward
    rows = zip(gradient, pictures, weight, mean, scale, strict=True)
    return list(zip(*(one(dy[None], x[None], w, None, None, m, s, True, 0.0, mask) for dy, x, w, m, s in rows), strict=True))


def scaled(*factors: tuple[Tensor, Tensor], plus: Tensor) -> Tensor:
    """The sum of pictures [N, C, H, W] times numbers [N, C] each, plus numbers [N, C], with channels last; not for autograd."""
    (count, channels, height, width), dtype = factors[0][0].shape, factors[0][0].dtype
    by_matrix = channels <= NARROW and dtype.itemsize == 2
    total = plus[:, None].to(dtype).expand(count, height * width, channels)
    for index, (pictures, numbers) in enumerate(factors):
        pixels = pictures.permute(0, 2, 3, 1).reshape(count, -1, channels)
        add, numbers = (torch.baddbmm, numbers.diag_embed()) if by_matrix else (torch.addcmul, numbers[:, None])
        total = add(total, pixels, numbers.to(dtype), out=total if index else None)
    return total.view(count, height, width, channels).permute(0, 3, 1, 2)
