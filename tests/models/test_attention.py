"""Attention over frames, and over the text."""

from collections.abc import Callable

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnAddedKVProcessor2_0, AttnProcessor2_0
from torch import Tensor

from show1.models.attention import FEW, FrameAttention, TextAttention, attend_in_pairs, attend_plainly


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_it_is_the_attention_of_diffusers(dtype: torch.dtype, tolerance: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = Attention(query_dim=12, heads=3, dim_head=4)
    tokens = torch.randn(5, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = AttnProcessor2_0()(attention, tokens)
        have = FrameAttention()(attention.to(dtype), tokens.to(dtype))
    assert have.dtype == dtype
    assert torch.allclose(have.float(), want, atol=tolerance)


@pytest.mark.parametrize("attend", [attend_plainly, attend_in_pairs])
def test_values_are_weighed_by_the_softmax_of_scores(attend: Callable[..., Tensor]) -> None:
    query = torch.tensor([[[[2.0], [0.0]]]])
    key, value = torch.tensor([[[[0.5], [0.0]]]]), torch.tensor([[[[1.0], [3.0]]]])
    odds = torch.tensor(1.0).exp()
    want = torch.tensor([[[[float((odds + 3) / (odds + 1))], [2.0]]]])
    assert torch.allclose(attend(query, key, value), want)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 2e-3)])
def test_frames_in_pairs_are_torchs_attention(dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(2)
    query, key, value = torch.randn(3, 6, 4, 8, 15, generator=generator)
    want = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    have = attend_in_pairs(query.to(dtype), key.to(dtype), value.to(dtype))
    assert have.dtype == dtype and (have - want).norm() < tolerance * want.norm()


@pytest.mark.parametrize("side", [3, int(FEW**0.5) + 1])
def test_text_attention_learns_what_that_of_diffusers_learns(side: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = Attention(8, heads=2, dim_head=4, added_kv_proj_dim=6, norm_num_groups=2, bias=True)
    generator = torch.Generator().manual_seed(1)
    pictures, text = torch.randn(2, 8, side, side, generator=generator), torch.randn(2, 5, 6, generator=generator)
    gradients = []
    for processor in (AttnAddedKVProcessor2_0(), TextAttention()):
        attention.zero_grad()
        processor(attention, pictures, encoder_hidden_states=text).square().mean().backward()
        gradients.append([parameter.grad for parameter in attention.parameters() if parameter.grad is not None])
    assert len(gradients[0]) > 10
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))
