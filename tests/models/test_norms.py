"""Group norm that learns fast where channels come last."""

import pytest
import torch
from torch import Tensor, nn

from show1.models.layout import put_channels_last
from show1.models.norms import FEW, LAST, GroupNorm, replace_group_norms


def gradients(norm: nn.GroupNorm, pictures: Tensor, toward: Tensor) -> list[Tensor]:
    pictures = pictures.clone(memory_format=torch.preserve_format).requires_grad_()
    return [norm(pictures), *torch.autograd.grad(norm(pictures), [pictures, norm.weight, norm.bias], toward)]


@pytest.mark.parametrize("groups", [4, 12])
@pytest.mark.parametrize("width", [7, 128])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_its_gradients_are_torchs(dtype: torch.dtype, tolerance: float, width: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    theirs, ours = nn.GroupNorm(groups, 12, dtype=torch.float64), GroupNorm(groups, 12)
    with torch.no_grad():
        for parameter, same in zip(theirs.parameters(), ours.parameters(), strict=True):
            same.copy_(parameter.copy_(torch.randn(12, generator=generator)))
    pictures = (torch.randn(3, 12, 9, width, generator=generator) + 2).to(dtype)
    toward = torch.randn(3, 12, 9, width, generator=generator).to(dtype)
    last = pictures.contiguous(memory_format=torch.channels_last)
    have = gradients(ours, last, toward.contiguous(memory_format=torch.channels_last))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in have[:2])
    assert "ChannelsLast" in type(ours(last.requires_grad_()).grad_fn).__name__
    for one, other in zip(have, gradients(theirs, pictures.double(), toward.double()), strict=True):
        assert (one - other).norm() < tolerance * other.norm()


@pytest.mark.parametrize("groups", [4, 12])
@pytest.mark.parametrize("width", [7, 128])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_a_modulated_norm_is_scaled_and_shifted(dtype: torch.dtype, tolerance: float, width: int, groups: int) -> None:
    draw = torch.Generator().manual_seed(0)
    pictures, toward = (torch.randn(3, 12, 9, width, generator=draw).to(dtype) for _ in range(2))
    modulation = [torch.randn(3, 12, 1, 1, generator=draw).to(dtype) for _ in range(2)]
    norm = GroupNorm(groups, 12)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(12, generator=draw))

    def outcome(inputs: list[Tensor], toward: Tensor, norm: nn.Module, *, plainly: bool) -> list[Tensor]:
        inputs = [part.detach().clone(memory_format=torch.preserve_format).requires_grad_() for part in inputs]
        hidden, scale, shift = inputs
        made = norm(hidden) * (1 + scale) + shift if plainly else norm.modulated(hidden, scale, shift)
        return [made, *torch.autograd.grad(made, [*inputs, *norm.parameters()], toward)]

    theirs = nn.GroupNorm(groups, 12, dtype=torch.float64)
    theirs.load_state_dict(norm.state_dict())
    last = pictures.contiguous(memory_format=torch.channels_last)
    have = outcome([last, *modulation], toward.contiguous(memory_format=torch.channels_last), norm, plainly=False)
    want = outcome([part.double() for part in (pictures, *modulation)], toward.double(), theirs, plainly=True)
    for one, other in zip(have, want, strict=True):
        assert one.shape == other.shape and (one - other).norm() < tolerance * other.norm()


@pytest.mark.parametrize("groups", [4, 12])
def test_weights_of_16_bits_have_gradients_of_16_bits(groups: int) -> None:
    norm = GroupNorm(groups, 12).bfloat16()
    pictures = torch.randn(2, 12, 9, 128, generator=torch.Generator().manual_seed(0)).bfloat16()
    made = gradients(norm, pictures.contiguous(memory_format=torch.channels_last), torch.ones_like(pictures))
    assert {part.dtype for part in made} == {torch.bfloat16}


def test_the_usual_order_in_memory_and_inference_are_left_to_torch() -> None:
    norm, pictures = GroupNorm(2, 4), torch.randn(2, 4, 30, 50, generator=torch.Generator().manual_seed(0))
    last = pictures.contiguous(memory_format=torch.channels_last)
    assert "ChannelsLast" not in type(norm(pictures.requires_grad_()).grad_fn).__name__
    assert "ChannelsLast" not in type(norm(last).grad_fn).__name__
    for rows in (30, 3):
        part = last[:, :, :rows].contiguous(memory_format=torch.channels_last)
        want = nn.GroupNorm(2, 4)(pictures[:, :, :rows])
        assert torch.allclose(norm.float()(part), want, atol=1e-6)
        assert torch.allclose(norm.bfloat16()(part.bfloat16()).float(), want, atol=0.03)


def test_sides_of_one_pixel_are_taken() -> None:
    pictures = torch.randn(2, FEW, 1, 4, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2).requires_grad_()
    narrow = pictures.transpose(2, 3)
    for sides in (pictures, narrow):
        assert torch.allclose(GroupNorm(2, 4)(sides), nn.GroupNorm(2, 4)(sides.contiguous()), atol=1e-6)


def test_replaced_norms_have_the_same_parameters() -> None:
    network = nn.Sequential(nn.GroupNorm(2, 4), nn.Sequential(nn.Conv2d(4, 4, 1), nn.GroupNorm(4, 4, eps=0.1)))
    before = list(network.parameters())
    replace_group_norms(network)
    inner = network[1]
    assert isinstance(inner, nn.Sequential) and isinstance(inner[1], GroupNorm) and inner[1].eps == 0.1
    assert all(a is b for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("shape", [(3, 12, 9, 20), (2, 12, 5, 6, 7)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_a_norm_in_order_is_torchs(dtype: torch.dtype, tolerance: float, shape: tuple[int, ...], modulated: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    pictures = (torch.randn(shape, generator=draw) + 3).to(dtype).contiguous(memory_format=LAST[len(shape)])
    scale, shift = torch.randn(2, *shape[:2], generator=draw)
    norm = GroupNorm(4, 12).to(dtype)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(12, generator=draw))
        have = norm.in_order(pictures, scale, shift) if modulated else norm.in_order(pictures)
    want = nn.functional.group_norm(pictures.double(), 4, norm.weight.double(), norm.bias.double(), norm.eps)
    if modulated:
        ones = (1,) * (len(shape) - 2)
        want = want * (1 + scale.reshape(*shape[:2], *ones)) + shift.reshape(*shape[:2], *ones)
    assert have.dtype == dtype and have.stride() == pictures.stride()
    assert (have - want).norm() < tolerance * want.norm()


@pytest.mark.parametrize(("shape", "in_order"), [((2, 8, 1024, 1024), True), ((2, 8, 64, 64), False)])
def test_only_many_numbers_are_normed_in_order_where_there_are_no_copies_to_save(shape: tuple[int, ...], in_order: bool) -> None:
    norm = GroupNorm(4, 8, device="meta", dtype=torch.float16)
    pictures = torch.empty(shape, device="meta", dtype=torch.float16).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert norm(pictures).is_contiguous(memory_format=torch.channels_last) is in_order
    assert not norm(pictures.contiguous()).is_contiguous(memory_format=torch.channels_last)


def test_channels_last_changes_nothing_but_the_order_in_memory() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv3d(4, 6, (3, 1, 1)), nn.GroupNorm(3, 6), nn.Flatten(2, 3), nn.Conv2d(6, 4, 3))
    video = torch.randn(2, 4, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    wanted, names = layers(video), list(layers.state_dict())
    put_channels_last(layers)
    assert layers[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert layers[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(layers[1], GroupNorm) and list(layers.state_dict()) == names
    assert torch.allclose(layers(video), wanted, atol=1e-6)
