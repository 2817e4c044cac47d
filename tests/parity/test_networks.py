"""Every network computes what the published one computed, to 1e-4, and holds exactly its parameters."""

from typing import Any

import pytest
import torch

from recorded import Record

TOLERANCE = 1e-4


@pytest.mark.parametrize("name", ["base", "interpolation", "sr1", "sr1_image", "sr2", "vae"])
def test_parameter_names_and_shapes_are_the_published_ones(record: Record, name: str) -> None:
    have = {key: list(value.shape) for key, value in record.networks[name].state_dict().items()}
    assert have == record.configs[f"{name}_parameters"]


@pytest.mark.parametrize("name", ["base", "interpolation", "sr1", "sr1_image", "sr2"])
@torch.no_grad()
def test_network_output_is_the_published_one(record: Record, name: str) -> None:
    levels = {"class_labels": record["unet_sr1/class_labels"]} if name.startswith("sr1") else {}
    out = record.networks[name](record[f"unet_{name}/sample"], record["unet_base/timestep"], record["unet_base/text"], **levels).sample
    assert (out - record[f"unet_{name}/out"]).abs().max() < TOLERANCE


@torch.no_grad()
def test_vae_is_the_published_one(record: Record) -> None:
    vae: Any = record.networks["vae"]
    assert (vae.encode(record["vae/image"]).latent_dist.mean - record["vae/mean"]).abs().max() < TOLERANCE
    assert (vae.decode(record["vae/latent"]).sample - record["vae/decoded"]).abs().max() < TOLERANCE
