"""Predicted bytes of computations whose peak can be counted by hand."""

import torch
from torch import nn
from torch.nn import functional

from show1.memory.trace import peak_bytes, weight_dtypes, without_data

CPU = torch.device("cpu")


def test_a_linear_layer_holds_its_input_and_its_output() -> None:
    with torch.device("meta"):
        layer = nn.Linear(100, 300)
    without_data(layer, CPU, torch.float32)
    assert peak_bytes(lambda: layer(torch.zeros(7, 100)), CPU) == 4 * 7 * (100 + 300)
    without_data(layer, CPU, torch.bfloat16)
    assert peak_bytes(lambda: layer(torch.zeros(7, 100, dtype=torch.bfloat16)), CPU) == 2 * 7 * (100 + 300)


def test_what_is_freed_counts_no_more() -> None:
    def chain() -> None:
        value = torch.zeros(1000)
        for _ in range(5):
            value = value + 1

    assert peak_bytes(chain, CPU) == 2 * 4000


def test_views_are_nothing_new_and_neither_are_views_of_weights() -> None:
    with torch.device("meta"):
        layer = nn.Linear(50, 50, bias=False)
    without_data(layer, CPU, torch.float32)
    assert peak_bytes(lambda: layer.weight.t().view(50, 50), CPU) == 0
    assert peak_bytes(lambda: torch.zeros(10, 10).t().view(10, 10).transpose(0, 1), CPU) == 400
    assert peak_bytes(lambda: torch.zeros(10, 10).t().reshape(100), CPU) == 2 * 400  # no view: a copy


def test_a_convolution_copies_input_and_output_unless_channels_come_last() -> None:
    with torch.device("meta"):
        layer = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    without_data(layer, CPU, torch.float32)
    size = 16 * 16 * 4
    plain = peak_bytes(lambda: layer(torch.zeros(1, 4, 16, 16)), CPU)
    assert plain == 4 * size + max(4 * size + 8 * size, 2 * 8 * size)
    last = peak_bytes(lambda: layer(torch.zeros(1, 4, 16, 16).to(memory_format=torch.channels_last)), CPU)
    assert last == 4 * size + 8 * size  # the copy in the other order, whose source is gone, and the output


def test_on_a_gpu_a_convolution_copies_its_input_unless_channels_come_last_and_gives_them_last() -> None:
    gpu = torch.device("meta")
    with gpu:
        layers = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2)))
    without_data(layers, gpu, torch.float16)
    picture = torch.empty(1, 8, 16, 16, dtype=torch.float16, device=gpu)
    size = picture.nbytes
    with torch.no_grad():
        assert peak_bytes(lambda: layers[0](picture), gpu) == 2 * size
        assert peak_bytes(lambda: layers(picture.to(memory_format=torch.channels_last)), gpu) == 3 * size  # the copy, two outputs
        assert peak_bytes(lambda: layers[1](layers[0](picture)), gpu) == 2 * size  # an output is no copy's source


def test_attention_holds_no_scores() -> None:
    def attend() -> None:
        query = torch.zeros(1, 2, 1000, 8)
        functional.scaled_dot_product_attention(query, query, query)

    assert peak_bytes(attend, CPU) == 2 * 4 * 2 * 1000 * 8


def test_a_device_that_is_not_here_can_be_planned_for() -> None:
    device = torch.device("cuda")
    assert peak_bytes(lambda: torch.zeros(100, device=device) + 1, device) == 800
    assert peak_bytes(lambda: torch.zeros(100) + 1, device) == 0


def test_weights_that_stay_wide_are_counted_so() -> None:
    class Wide(nn.Module):
        _keep_in_fp32_modules = ("wo",)

        def __init__(self) -> None:
            super().__init__()
            self.wi, self.wo = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)

    sizes = {dtype: sum(w.numel() * kind.itemsize for w, kind in weight_dtypes(Wide(), dtype)) for dtype in (torch.float16, torch.bfloat16)}
    assert sizes == {torch.float16: 600, torch.bfloat16: 400}
