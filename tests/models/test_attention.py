"""Attention over frames."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from show1.models.attention import FrameAttention, attend_plainly


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


def test_plain_products_weigh_values_by_the_softmax_of_scores() -> None:
    query = torch.tensor([[[[2.0], [0.0]]]])
    key, value = torch.tensor([[[[0.5], [0.0]]]]), torch.tensor([[[[1.0], [3.0]]]])
    odds = torch.tensor(1.0).exp()
    want = torch.tensor([[[[float((odds + 3) / (odds + 1))], [2.0]]]])
    assert torch.allclose(attend_plainly(query, key, value), want)
