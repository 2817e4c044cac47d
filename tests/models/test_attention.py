"""Which attention kernels are used where."""

import torch

from show1.models.attention import suited_attention


def test_bfloat16_on_a_cpu_takes_plain_products_and_nothing_else_does() -> None:
    def fused() -> bool:
        return torch.backends.cuda.flash_sdp_enabled()

    before = fused()
    with suited_attention(torch.device("cpu"), torch.bfloat16):
        assert not fused() and torch.backends.cuda.math_sdp_enabled()
    with suited_attention(torch.device("cpu"), torch.float32):
        assert fused() == before
    assert fused() == before


def test_results_are_the_same_within_rounding() -> None:
    q, k, v = torch.randn(3, 2, 4, 8, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    want = torch.nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
    with suited_attention(q.device, q.dtype):
        have = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(have.float(), want, atol=0.05)
