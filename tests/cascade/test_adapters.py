"""Adapters in a pipeline: mixed by weight, taken out to the bit, and refused where they do not fit."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from show1 import Show1Pipeline
from show1.cascade.adapter_files import RECORD, WEIGHTS, Factors, read_adapter, write_adapter
from show1.errors import CheckpointError, SettingsError

LAYER = "mid_block.temp_attentions.0.transformer_blocks.0.attn1.to_q"
CONVOLUTION = "conv_in"


def factors(shape: tuple[int, ...], seed: int) -> Factors:
    """Of values that 16 bits hold exactly."""
    generator = torch.Generator().manual_seed(seed)
    down = torch.randint(-4, 5, (2, *shape[1:]), generator=generator) / 64
    up = torch.randint(-4, 5, (shape[0], 2, *[1] * (len(shape) - 2)), generator=generator) / 64
    return Factors(down, up)


@pytest.fixture
def pipe(saved_pipeline: Path) -> Show1Pipeline:
    pipeline = Show1Pipeline.from_pretrained(saved_pipeline)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def weight(pipeline: Show1Pipeline, layer: str = LAYER) -> Tensor:
    return pipeline.keyframes_unet.get_parameter(f"{layer}.weight").detach().clone()


def write(folder: Path, pipeline: Show1Pipeline, seed: int, layers: tuple[str, ...] = (LAYER,)) -> dict[str, Factors]:
    made = {layer: factors(tuple(weight(pipeline, layer).shape), seed) for layer in layers}
    write_adapter(folder, {("keyframes_unet", layer): pair for layer, pair in made.items()}, {"kind": "motion"})
    return made


def test_a_linear_layer_and_a_convolution_change_by_the_product(pipe: Show1Pipeline, tmp_path: Path) -> None:
    made = write(tmp_path / "a", pipe, 0, (LAYER, CONVOLUTION))
    before = {layer: weight(pipe, layer) for layer in made}
    pipe.load_lora_weights(tmp_path / "a")
    for layer, pair in made.items():
        change = torch.einsum("or,ri...->oi...", pair.up.flatten(1), pair.down)
        torch.testing.assert_close(weight(pipe, layer), before[layer] + change)


def test_two_adapters_are_mixed_by_weight_and_taken_out_to_the_bit(pipe: Show1Pipeline, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", pipe, 1)[LAYER].change(), write(tmp_path / "b", pipe, 2)[LAYER].change()
    before, other = weight(pipe), weight(pipe, CONVOLUTION)
    pipe.load_lora_weights(tmp_path / "a")
    pipe.load_lora_weights(tmp_path / "b", adapter_name="green")
    assert pipe.get_active_adapters() == {"a": 1.0, "green": 1.0} and pipe.get_list_adapters() == {"keyframes_unet": ["a", "green"]}
    pipe.set_adapters(["a", "green"], [0.5, -2.0])
    mixed = weight(pipe)
    torch.testing.assert_close(mixed, before + 0.5 * a - 2 * b)
    pipe.set_adapters(["green", "a"], [-2.0, 0.5])
    assert torch.equal(weight(pipe), mixed), "their order makes no difference"
    pipe.set_adapters("green")
    torch.testing.assert_close(weight(pipe), before + b)
    pipe.set_adapters([])
    assert torch.equal(weight(pipe), before)
    pipe.set_adapters(["a", "green"], 0.3)
    pipe.delete_adapters("a")
    torch.testing.assert_close(weight(pipe), before + 0.3 * b)
    pipe.unload_lora_weights()
    assert torch.equal(weight(pipe), before) and torch.equal(weight(pipe, CONVOLUTION), other) and not pipe.get_list_adapters()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_16_bits_are_put_back_to_the_bit(pipe: Show1Pipeline, tmp_path: Path, dtype: torch.dtype) -> None:
    write(tmp_path / "a", pipe, 3)
    pipe.to(dtype)
    before = weight(pipe)
    pipe.load_lora_weights(tmp_path / "a")
    assert weight(pipe).dtype == dtype and not torch.equal(weight(pipe), before)
    pipe.unload_lora_weights()
    assert torch.equal(weight(pipe), before)


def test_names_and_weights_are_checked(pipe: Show1Pipeline, tmp_path: Path) -> None:
    write(tmp_path / "a", pipe, 1)
    pipe.load_lora_weights(tmp_path / "a")
    with pytest.raises(SettingsError, match="an adapter 'a' already"):
        pipe.load_lora_weights(tmp_path / "a")
    with pytest.raises(SettingsError, match="no adapter 'b'; loaded: a"):
        pipe.set_adapters(["a", "b"])
    with pytest.raises(SettingsError, match="no adapter 'b'"):
        pipe.delete_adapters("b")
    with pytest.raises(SettingsError, match="2 weights for 1 adapters"):
        pipe.set_adapters(["a"], [1.0, 2.0])
    assert pipe.get_active_adapters() == {"a": 1.0}


def test_an_adapter_of_another_network_is_refused_and_changes_nothing(pipe: Show1Pipeline, tmp_path: Path) -> None:
    before = weight(pipe)
    pair = factors((5, 5), 0)
    for place in (("keyframes_unet", LAYER), ("keyframes_unet", "no.such.layer"), ("no_such_unet", LAYER), ("tokenizer", LAYER)):
        fitting = write(tmp_path / "both", pipe, 0)[LAYER]
        write_adapter(tmp_path / "both", {("keyframes_unet", LAYER): fitting, place: pair}, {})
        with pytest.raises(CheckpointError, match=f"another network.*{place[1]}"):
            pipe.load_lora_weights(tmp_path / "both")
    assert torch.equal(weight(pipe), before) and not pipe.get_list_adapters()


def test_damaged_folders_are_errors(pipe: Show1Pipeline, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write(tmp_path / "a", pipe, 0)
    path = tmp_path / "a" / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS}.*again"):
        read_adapter(tmp_path / "a")
    path.write_bytes(whole)
    weights = load_file(path)
    weights.pop(f"keyframes_unet.{LAYER}.lora_B.weight")
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=r"pairs.*lora_B"):
        read_adapter(tmp_path / "a")
    path.write_bytes(whole)
    (tmp_path / "a" / RECORD).write_text("{")
    with pytest.raises(CheckpointError, match=RECORD):
        read_adapter(tmp_path / "a")


class Trap:
    """What a pickle could do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickles_are_never_executed(pipe: Show1Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / RECORD).write_text("{}")
    (folder / "pytorch_lora_weights.bin").write_bytes(pickle.dumps(Trap(tmp_path / "caught")))
    with pytest.raises(CheckpointError, match="pickle, which could run code"):
        pipe.load_lora_weights(folder)
    (folder / WEIGHTS).write_bytes((folder / "pytorch_lora_weights.bin").read_bytes())
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        pipe.load_lora_weights(folder)
    assert not (tmp_path / "caught").exists()
