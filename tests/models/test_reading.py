"""Weights from files: every dtype and shape, and files that are none."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from show1.errors import CheckpointError
from show1.models.reading import DTYPES, read_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One tensor of each dtype, one of no dimension, one without elements."""
    tensors = {str(kind): torch.arange(-3, 4).to(kind).reshape(7, 1) for kind in DTYPES.values()}
    path = tmp_path / "model.safetensors"
    save_file({**tensors, "single": torch.tensor(0.5), "none": torch.empty(0, 3)}, path, metadata={"format": "pt"})
    return path


def test_tensors_are_what_safetensors_reads(file: Path) -> None:
    read, wanted = read_weights(file), load_file(file)
    assert read.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype and read[name].shape == tensor.shape
        assert read[name].data_ptr() % 64 == 0  # as what torch itself allocates: kernels' last bits depend on it


def test_numbers_with_fractions_change_their_dtype_but_for_some(file: Path) -> None:
    read = read_weights(file, torch.bfloat16, wide=["float64"])  # a part of the name torch.float64
    for name, tensor in load_file(file).items():
        kept = name == "torch.float64" or not tensor.is_floating_point()
        assert read[name].dtype == (tensor.dtype if kept else torch.bfloat16)
        torch.testing.assert_close(read[name], tensor.to(read[name].dtype), rtol=0, atol=0)


def test_a_dtype_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"layer.weight": torch.zeros(4).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(CheckpointError, match=r"'layer.weight' in .* is held in F8_E4M3"):
        read_weights(path)


@pytest.mark.parametrize("length", [0, 5, 40, -1])
def test_a_truncated_file_is_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="download the file again"):
        read_weights(file)
