"""Residual blocks beside diffusers'."""

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from show1.models.blocks import ResidualBlock


@pytest.mark.parametrize("resample", [{}, {"up": True}, {"down": True}])
@pytest.mark.parametrize("embedding", ["default", "scale_shift"])
@pytest.mark.parametrize("active", [True, False])
def test_a_residual_block_is_diffusers_in_any_order_in_memory(resample: dict[str, bool], embedding: str, active: bool) -> None:
    config = {"in_channels": 8, "out_channels": 8 if resample else 12, "temb_channels": 6, "groups": 4, "output_scale_factor": 1.5}
    config |= {"time_embedding_norm": embedding, "skip_time_act": active, **resample}
    ours, theirs = ResidualBlock(**config), ResnetBlock2D(**config)
    theirs.load_state_dict(ours.state_dict())
    generator = torch.Generator().manual_seed(0)
    pictures, time = torch.randn(64, 8, 4, 6, generator=generator), torch.randn(64, 6, generator=generator)
    want = theirs(pictures, time)
    assert torch.allclose(ours(pictures, time), want, atol=1e-5)
    made = ours(pictures.contiguous(memory_format=torch.channels_last), time)
    assert torch.allclose(made, want, atol=1e-5)
    assert made.is_contiguous(memory_format=torch.channels_last)
