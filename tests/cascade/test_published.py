"""The five published folders load into one pipeline; damaged ones are refused with the reason."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import folders
import tiny
from show1 import PUBLISHED, Show1Pipeline
from show1.errors import CheckpointError

PROMPT = "a rocket flies over the ocean"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Show1Pipeline, dict[str, Path]]:
    """A pipeline whose weights fit 16 bits, and the published folders of its parts."""
    root = tmp_path_factory.mktemp("published")
    pipe = tiny.make_pipeline(root)
    return pipe, folders.write_published(pipe, root / "t5" / "spiece.model", root)


@pytest.fixture(scope="module")
def published(source: tuple[Show1Pipeline, dict[str, Path]]) -> Show1Pipeline:
    pipe = Show1Pipeline.from_published(**source[1])
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def copies(source: tuple[Show1Pipeline, dict[str, Path]], tmp_path: Path) -> dict[str, Path]:
    """The folders, to be damaged."""
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in source[1].items()}


def test_folders_hold_what_published_ones_hold(source: tuple[Show1Pipeline, dict[str, Path]]) -> None:
    files = {str(p.relative_to(root.parent)) for root in source[1].values() for p in root.rglob("*")}
    assert "keyframes/unet/diffusion_pytorch_model.fp16.safetensors" in files
    assert "keyframes/unet/diffusion_pytorch_model.safetensors" in files
    assert "keyframes/text_encoder/model.safetensors.index.fp16.json" in files
    assert "interpolation/unet/diffusion_pytorch_model.safetensors" not in files
    assert {name for name in files if name.startswith("latent_upscale/unet/diff")} == {"latent_upscale/unet/diffusion_pytorch_model.bin"}


@pytest.mark.parametrize("variant", ["fp16", None])
def test_every_weight_arrives(source: tuple[Show1Pipeline, dict[str, Path]], variant: str | None) -> None:
    original, paths = source
    loaded = Show1Pipeline.from_published(**paths, variant=variant)
    for name, component in original.components.items():
        if isinstance(component, torch.nn.Module) and name != "text_encoder":
            have, want = getattr(loaded, name).state_dict(), component.state_dict()
            assert have.keys() == want.keys()
            assert all(torch.equal(have[key], want[key]) and have[key].dtype == torch.float32 for key in want), name


def test_published_settings_and_solver_ending_are_used(published: Show1Pipeline) -> None:
    assert published.settings == PUBLISHED
    assert published.keyframes_scheduler.config.final_sigmas_type == "sigma_min"
    assert not any(c.training for c in published.components.values() if isinstance(c, torch.nn.Module))


def test_published_folders_make_the_video_of_their_networks(
    source: tuple[Show1Pipeline, dict[str, Path]], published: Show1Pipeline
) -> None:
    assert published.text_encoder is None
    settings = replace(tiny.SETTINGS, max_text_tokens=published.settings.max_text_tokens)
    out = published(PROMPT, seed=5, settings=settings, output_type="pt")
    assert published.text_encoder is None, "T5 is freed after the prompt is encoded"
    assert out.frames.shape == (1, 5, 3, 32, 48)
    positive, negative = published.encode_prompt([PROMPT], [""])
    again = published(PROMPT, prompt_embeds=positive, negative_prompt_embeds=negative, seed=5, settings=settings, output_type="pt")
    assert torch.equal(out.frames, again.frames)


def test_published_text_is_that_of_the_whole_encoder(source: tuple[Show1Pipeline, dict[str, Path]], published: Show1Pipeline) -> None:
    from show1.text import encode_t5

    original = source[0]
    with torch.no_grad():
        wanted = encode_t5(original.tokenizer, original.text_encoder, [PROMPT], 77)
    made, _ = published.encode_prompt([PROMPT], [""])
    assert torch.equal(made, wanted)


def test_a_published_pipeline_saves_into_one_folder(published: Show1Pipeline, tmp_path: Path) -> None:
    published.save_pretrained(tmp_path / "one")
    assert published.text_encoder is None
    again = Show1Pipeline.from_pretrained(tmp_path / "one")
    again.set_progress_bar_config(disable=True)
    one, two = (p(PROMPT, seed=5, settings=tiny.SETTINGS, output_type="pt").frames for p in (published, again))
    assert torch.equal(one, two)


def drop(weights: dict[str, torch.Tensor]) -> None:
    del weights["conv_in.weight"]


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["surplus.weight"] = torch.zeros(2)


def reshape(weights: dict[str, torch.Tensor]) -> None:
    weights["conv_out.bias"] = torch.zeros(5)


@pytest.mark.parametrize(
    ("change", "text"),
    [(drop, "missing.*conv_in.weight"), (add, "unexpected.*surplus.weight"), (reshape, r"conv_out.bias.*\[5\].*\[6\]")],
)
@pytest.mark.parametrize("stage", ["interpolation", "first_frame"])
def test_weights_that_do_not_fit_are_named(
    copies: dict[str, Path], stage: str, change: Callable[[dict[str, torch.Tensor]], None], text: str
) -> None:
    path = copies[stage] / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=f"{stage}.*{text}"):
        Show1Pipeline.from_published(**copies)


def test_a_missing_text_encoder_weight_is_named(copies: dict[str, Path]) -> None:
    path = copies["latent_upscale"] / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.endswith("final_layer_norm.weight"))
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"final_layer_norm.weight"):
        Show1Pipeline.from_published(**copies)


def test_a_text_encoder_weight_of_another_shape_is_named(copies: dict[str, Path]) -> None:
    path = copies["latent_upscale"] / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.endswith("final_layer_norm.weight"))
    weights[name] = torch.zeros(3)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"final_layer_norm.weight"):
        Show1Pipeline.from_published(**copies)


def test_a_missing_shard_of_the_text_encoder_is_an_error(copies: dict[str, Path]) -> None:
    next((copies["keyframes"] / "text_encoder").glob("model.fp16-00002-*")).unlink()
    with pytest.raises(CheckpointError, match="text_encoder"):
        pipe = Show1Pipeline.from_published(**copies)
        pipe.encode_prompt([PROMPT], [""])


@pytest.mark.parametrize(
    "file",
    ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/config.json", "scheduler/scheduler_config.json", "tokenizer/spiece.model"],
)
def test_a_truncated_file_is_an_error_that_names_it(copies: dict[str, Path], file: str) -> None:
    path = copies["keyframes"] / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for other in (copies["keyframes"] / "tokenizer").glob("tokenizer.json"):
        other.unlink()
    with pytest.raises(CheckpointError, match=str(path.parent if "tokenizer" in file else path)):
        Show1Pipeline.from_published(**copies)


@pytest.mark.parametrize(
    "file", ["unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "scheduler/scheduler_config.json", "tokenizer"]
)
def test_a_missing_file_is_an_error_that_names_it(copies: dict[str, Path], file: str) -> None:
    path = copies["interpolation" if "unet" in file else "keyframes"] / file
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=str(path.parent)):
        Show1Pipeline.from_published(**copies)


@pytest.mark.parametrize(("text", "reason"), [("{", "not valid JSON"), ("[1]", "JSON object"), ("\0", "not valid JSON")])
def test_a_config_that_is_no_json_object_is_an_error(copies: dict[str, Path], text: str, reason: str) -> None:
    (copies["pixel_upscale"] / "unet" / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason):
        Show1Pipeline.from_published(**copies)


def test_a_config_that_is_no_text_is_an_error(copies: dict[str, Path]) -> None:
    (copies["pixel_upscale"] / "unet" / "config.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(CheckpointError, match=r"config.json"):
        Show1Pipeline.from_published(**copies)


@pytest.mark.parametrize("key", ["down_block_types", "block_out_channels", "attention_head_dim"])
def test_a_config_of_impossible_values_is_an_error(copies: dict[str, Path], key: str) -> None:
    path = copies["pixel_upscale"] / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: ["Unknown", 7, 9]}))
    with pytest.raises(CheckpointError):
        Show1Pipeline.from_published(**copies)


def test_an_unknown_scheduler_is_an_error(copies: dict[str, Path]) -> None:
    (copies["pixel_upscale"] / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "HopeScheduler"}')
    with pytest.raises(CheckpointError, match="HopeScheduler"):
        Show1Pipeline.from_published(**copies)


class Malicious:
    """Unpickles by running a command."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.touched}",)


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_a_pickle_that_runs_code_is_not_run(copies: dict[str, Path], tmp_path: Path, component: str) -> None:
    folder = copies["latent_upscale"] / component
    for path in folder.glob("*.safetensors"):
        path.unlink()
    name = "pytorch_model.bin" if component == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save({"conv_in.weight": Malicious(tmp_path / "touched")}, folder / name)
    with pytest.raises(CheckpointError, match=component):
        Show1Pipeline.from_published(**copies)
    assert not (tmp_path / "touched").exists()


def test_a_folder_that_is_not_there_is_an_error(copies: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        Show1Pipeline.from_published(**{**copies, "keyframes": tmp_path / "nowhere"}, local_files_only=True)
