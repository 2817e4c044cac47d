"""How many bytes a computation holds at its peak, found without any data: its tensors have shapes, and no contents."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from show1.models.layout import put_channels_last
from show1.models.norms import LAST

NO_DATA = FakeTensorMode(allow_non_fake_inputs=True)  # an index of a list is made as a real tensor


@torch.no_grad()
def peak_bytes(compute: Callable[[], Any], device: torch.device) -> int:
    """The most bytes that tensors which `compute` makes on a device hold at one time; what was there before does not count.

    Args:
        compute: works on tensors of `torch.empty` and networks of `without_data` only.
        device: it need not be in this machine.
    """
    with NO_DATA, FusedAttention(), LiveBytes(device) as live:
        compute()
    return live.peak


def without_data(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Give a network (on the meta device) weights that have a device and a dtype, and no contents, in the order of that device."""
    kinds = {id(weight): kind for weight, kind in weight_dtypes(network, dtype)}

    def shaped(weight: Tensor) -> Tensor:
        return torch.empty(weight.shape, device=device, dtype=kinds[id(weight)])

    with NO_DATA:
        for module in network.modules():
            made = {name: nn.Parameter(shaped(p), requires_grad=False) for name, p in module._parameters.items() if p is not None}
            module._parameters.update(made)
            module._buffers.update({name: shaped(b) for name, b in module._buffers.items() if b is not None})
        if device.type != "cpu":
            put_channels_last(network)
    return network.eval()


def weight_dtypes(network: nn.Module, dtype: torch.dtype) -> Iterator[tuple[Tensor, torch.dtype]]:
    """Every parameter and buffer of a network, with what it is held in where the network is loaded in `dtype`."""
    wide = getattr(network, "_keep_in_fp32_modules", None) or () if dtype == torch.float16 else ()  # transformers: T5
    for name, weight in chain(network.named_parameters(), network.named_buffers()):
        kept = not weight.is_floating_point()
        yield weight, weight.dtype if kept else torch.float32 if set(wide) & set(name.split(".")) else dtype


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make on a device, and takes them off again when nothing refers to them."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_iter((args, kwargs)):
            self._meet(tensor, counts=False)  # a weight, or an input: views of it are nothing new
        before = self.live
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default and result.device.type != "cpu" and result.ndim in LAST:
            result = result.contiguous(memory_format=LAST[result.ndim])  # as cuDNN has it, and torch's meta device has not
        for tensor in tree_iter(result):
            self._meet(tensor)
        self.peak = max(self.peak, self.live, before + workspace(func, args, result))
        return result

    def _meet(self, tensor: Any, counts: bool = True) -> None:
        if not isinstance(tensor, Tensor) or tensor.device.type != self.device.type:
            return
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            size = storage.nbytes() if counts else 0
            self._known.add(storage._cdata)
            self.live += size
            weakref.finalize(storage, self._forget, storage._cdata, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class FusedAttention(TorchFunctionMode):
    """Attention that holds nothing but its output, as torch's fused kernels do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            query, _, value, *_ = args
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


def workspace(func: Any, args: Any, result: Any) -> int:
    """Bytes that an operation holds for a moment, its output among them, where that is more than its output.

    On a CPU, convolutions are oneDNN's: where channels do not come last, it computes with copies of input and output that are
    in its own order (at::native::mkldnn_convolution). On a GPU their weights have channels last, and an input is copied where it has not.
    """
    if func is not torch.ops.aten.convolution.default or result.ndim not in LAST or args[0].is_contiguous(memory_format=LAST[result.ndim]):
        return 0
    sizes = [tensor.numel() * tensor.element_size() for tensor in (args[0], result)]
    return max(sum(sizes), 2 * sizes[1]) if result.device.type == "cpu" else sum(sizes)
