"""Motion and style from a clip: what an adapter changes, what it is saved as, and what cannot be used."""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from making_clips import write_broken, write_clip, write_sound
from show1 import PixelUNet, Show1Pipeline
from show1.cascade.adapter_files import RECORD, WEIGHTS, read_adapter
from show1.errors import DataError, PromptError, SettingsError
from show1.models.inflate import with_labels
from show1.training.adapting import Adaptation
from show1.training.config import AdapterConfig
from show1.training.customise import customize, lightness
from show1.training.groups import in_group
from show1.training.loop import Trainer
from show1.training.recipes import LEARNERS, Asked, make_config, recipe

PROMPT = "a rocket flies over the ocean"
QUICK = {"steps": 2, "learning_rate": 1e-2, "batch_size": 1}
LAYERS = {"motion": "temporal-attention", "style": "decoder"}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=4)


@pytest.fixture(scope="session")
def motion(clip: Path, saved_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = customize("motion", clip, PROMPT, tmp_path_factory.mktemp("adapters") / "zigzag", model=saved_pipeline, **QUICK)
    assert made is not None and made.name == "zigzag"
    return made


def keyframes(pipeline: Show1Pipeline) -> torch.Tensor:
    made = pipeline(PROMPT, seed=1, stop_after="keyframes", output_type="pt").keyframes
    assert made is not None
    return made


def finished(pipeline: Show1Pipeline) -> torch.Tensor:
    made = pipeline(PROMPT, seed=1, output_type="pt").latent_upscaled
    assert made is not None
    return made


def loaded(folder: Path) -> Show1Pipeline:
    pipeline = Show1Pipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", ["motion", "style"])
def test_an_adapter_changes_only_the_layers_that_it_says(kind: str, full: bool, clip: Path, saved_pipeline: Path, tmp_path: Path) -> None:
    group = LAYERS[kind]
    made = customize(kind, clip, PROMPT, tmp_path / "made", model=saved_pipeline, layers=(group,), rank=0 if full else 2, **QUICK)
    assert made == tmp_path / "made" and [p.name for p in tmp_path.iterdir()] == ["made"], "nothing is left behind"
    record = json.loads((made / RECORD).read_text())
    stage, changing = LEARNERS[kind]
    assert record["components"] == {changing: {"layers": [group], "rank": "full" if full else 2}}
    assert json.loads((made / "training.json").read_text())["config"]["stage"] == stage
    assert (record["kind"], record["prompt"], record["base_model"]) == (kind, PROMPT, str(saved_pipeline))
    pipeline, before = loaded(saved_pipeline), loaded(saved_pipeline)
    pipeline.load_lora_weights(made)
    for name, component in before.components.items():
        if isinstance(component, torch.nn.Module):
            now = getattr(pipeline, name).state_dict()
            changed = {key for key, value in component.state_dict().items() if not torch.equal(value, now[key])}
            assert bool(changed) == (name == changing)
            assert all(key.endswith("weight") and in_group(group, name, key) for key in changed)
    assert torch.equal(keyframes(pipeline), keyframes(before)) == (kind == "style"), "a style leaves what is to be seen as it is"
    assert not torch.equal(finished(pipeline), finished(before))


def test_a_network_that_is_told_moments_learns_a_motion_where_it_is_told(clip: Path, saved_pipeline: Path, tmp_path: Path) -> None:
    pipeline = loaded(saved_pipeline)
    pipeline.keyframes_unet = with_labels(pipeline.keyframes_unet)
    pipeline.save_pretrained(tmp_path / "told")
    made = customize("motion", clip, PROMPT, tmp_path / "made", model=tmp_path / "told", **QUICK)
    assert made is not None
    assert json.loads((made / RECORD).read_text())["components"]["keyframes_unet"]["layers"] == ["moments", "temporal-attention"]
    assert any("class_embedding" in name for name in load_file(made / WEIGHTS))
    before = keyframes(pipeline)
    pipeline.load_lora_weights(made)
    assert not torch.equal(keyframes(pipeline), before)


@pytest.mark.parametrize("rank", [4, 0])
def test_before_training_an_adapted_network_is_the_network(rank: int) -> None:
    network, adapted = (tiny.named(PixelUNet.from_config(tiny.pixel_config())) for _ in range(2))
    torch.manual_seed(4)
    state = torch.get_rng_state()
    Adaptation("keyframes_unet", adapted, AdapterConfig(layers=("spatial", "temporal-attention"), rank=rank), 0)
    assert torch.equal(torch.get_rng_state(), state), "global random state stays as it is"
    inputs = torch.randn(1, 3, 2, 8, 8), 500, torch.randn(1, 4, tiny.TEXT_WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(adapted(*inputs).sample, network(*inputs).sample, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_bytes(clip: Path, saved_pipeline: Path, motion: Path, tmp_path: Path) -> None:
    again = customize("motion", clip, PROMPT, tmp_path / "again", model=saved_pipeline, **QUICK)
    other = customize("motion", clip, PROMPT, tmp_path / "other", model=saved_pipeline, seed=1, **QUICK)
    assert again is not None and other is not None
    assert (again / WEIGHTS).read_bytes() == (motion / WEIGHTS).read_bytes() != (other / WEIGHTS).read_bytes()


def test_what_is_loaded_is_what_was_trained(motion: Path, saved_pipeline: Path) -> None:
    """Peft, reading the same file, gives the network that our mixing gives."""
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    ours, theirs = loaded(saved_pipeline), loaded(saved_pipeline)
    ours.load_lora_weights(motion)
    weights = {name.removeprefix("keyframes_unet."): value.float() for name, value in load_file(motion / WEIGHTS).items()}
    layers = [name.removesuffix(".lora_A.weight") for name in weights if name.endswith("lora_A.weight")]
    inject_adapter_in_model(LoraConfig(r=8, lora_alpha=8, target_modules=layers), theirs.keyframes_unet)
    result = set_peft_model_state_dict(theirs.keyframes_unet, weights)
    assert not result.unexpected_keys
    torch.testing.assert_close(keyframes(ours), keyframes(theirs), atol=1e-4, rtol=1e-4)


def test_a_style_is_learned_from_pictures_too(saved_pipeline: Path, tmp_path: Path) -> None:
    from PIL import Image

    for index, colour in enumerate(("green", "lime")):
        Image.new("RGB", (64, 40), colour).save(tmp_path / f"{index}.png")
    pictures = [tmp_path / "0.png", tmp_path / "1.png"]
    made = customize("style", pictures, None, tmp_path / "green", model=saved_pipeline, **QUICK)
    assert made is not None and len(read_adapter(made).layers) > 5
    with pytest.raises(DataError, match=r"0\.png.*picture"):
        customize("motion", pictures[0], PROMPT, tmp_path / "motion", model=saved_pipeline, **QUICK)


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    empty = folder / "empty.mp4"
    empty.write_bytes(b"")
    return {
        "missing": (folder / "nowhere.mp4", "missing"),
        "empty": (empty, "unreadable"),
        "broken": (write_broken(folder / "broken.mp4", keep=0.1), "unreadable"),
        "sound": (write_sound(folder / "sound.mp4"), "no video"),
        "short": (write_clip(folder / "short.mp4", seconds=0.5), r"lasts 0\.50 s.* 1\.07 s"),
        "other": (write_clip(folder / "clip.mp4").rename(folder / "clip.mov"), "other kind"),
    }


@pytest.mark.parametrize("kind", ["missing", "empty", "broken", "sound", "short", "other"])
def test_a_clip_that_cannot_be_used_is_named(kind: str, saved_pipeline: Path, tmp_path: Path) -> None:
    path, reason = unusable(tmp_path)[kind]
    with pytest.raises(DataError, match=rf"(?s)'{path}'.*{reason}"):
        customize("motion", path, PROMPT, tmp_path / "made", model=saved_pipeline, **QUICK)
    assert not (tmp_path / "made").exists() and not list(tmp_path.glob(".made*")), "nothing is left behind"


def test_without_peft_the_error_says_what_to_do(
    clip: Path, saved_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, motion: Path
) -> None:
    pipeline = loaded(saved_pipeline)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SettingsError, match=r"pip install 'show1\[train\]'"):
        customize("motion", clip, PROMPT, tmp_path / "made", model=saved_pipeline, **QUICK)
    assert customize("motion", clip, PROMPT, tmp_path / "full", model=saved_pipeline, rank=0, **QUICK), "needs no peft"
    pipeline.load_lora_weights(motion)  # nor does this
    assert pipeline.get_active_adapters() == {"zigzag": 1.0}


def test_what_cannot_be_asked_for_is_refused(clip: Path, saved_pipeline: Path, tmp_path: Path, motion: Path) -> None:
    with pytest.raises(SettingsError, match=r"'sound'.*motion, style"):
        customize("sound", clip, PROMPT, tmp_path / "made", model=saved_pipeline)
    with pytest.raises(DataError, match="there already"):
        customize("motion", clip, PROMPT, motion, model=saved_pipeline)
    with pytest.raises(SettingsError, match="one clip, not from 2"):
        customize("motion", [clip, clip], PROMPT, tmp_path / "made", model=saved_pipeline)
    with pytest.raises(PromptError, match="empty"):
        customize("motion", clip, None, tmp_path / "made", model=saved_pipeline)
    for name in ("text", "tempral", "conv"):
        with pytest.raises(SettingsError, match=f"names '{name}', where the network has no layers.*temporal-attention.*conv_out"):
            Adaptation("keyframes_unet", PixelUNet.from_config(tiny.pixel_config()), AdapterConfig(layers=("spatial", name)), 0)


def test_modules_are_named_beside_groups() -> None:
    network = PixelUNet.from_config(tiny.pixel_config())
    layers = Adaptation("keyframes_unet", network, AdapterConfig(layers=("conv_out", "up_blocks.1"), rank=0), 0).layers
    assert "conv_out" in layers and any(name.startswith("up_blocks.1.") for name in layers)
    assert all(name == "conv_out" or name.startswith("up_blocks.1.") for name in layers)


def test_a_mixed_pipeline_saves_what_it_makes(motion: Path, saved_pipeline: Path, tmp_path: Path) -> None:
    pipeline = loaded(saved_pipeline)
    pipeline.load_lora_weights(motion)
    pipeline.save_pretrained(tmp_path / "mixed")
    assert torch.equal(keyframes(loaded(tmp_path / "mixed")), keyframes(pipeline))


def test_temporal_convolutions_change_in_full_only() -> None:
    """They run from their weights alone, so that LoRA's layers would change nothing."""
    network = PixelUNet.from_config(tiny.pixel_config())
    with pytest.raises(SettingsError, match="names 'temporal-convolution'"):
        Adaptation("keyframes_unet", network, AdapterConfig(layers=("temporal-convolution",)), 0)
    assert Adaptation("keyframes_unet", network, AdapterConfig(layers=("temporal-convolution",), rank=0), 0).layers


def test_the_recipes_change_what_the_network_has() -> None:
    told = {"block_out_channels": [32, 32, 96], "class_embed_type": "timestep"}
    assert recipe("motion", told)[0].layers == ("moments", "temporal-attention")
    assert recipe("motion", {**told, "class_embed_type": None})[0].layers == ("temporal-attention",)
    assert recipe("style", {"decoder_block_out_channels": [32, 32]})[0] == AdapterConfig(layers=("decoder",), rank=0)
    assert recipe("style", {"block_out_channels": [128, 512]})[0].rank == 16, "full changes of wide networks would be large"


def test_a_style_is_learned_from_pictures_no_larger_than_the_pipelines(saved_pipeline: Path, tmp_path: Path) -> None:
    config = make_config(Asked("style", None, "tiny"), saved_pipeline, tmp_path / "clips.jsonl")
    width, height = loaded(saved_pipeline).settings.final_size
    assert config.crop is not None and config.crop[0] <= height and config.crop[1] <= width


def test_a_style_that_was_terminated_goes_on(clip: Path, saved_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = customize("style", clip, None, tmp_path / "whole", model=saved_pipeline, **QUICK)
    step = Trainer.train_step

    def terminated(trainer: Trainer) -> float:
        loss = step(trainer)
        signal.raise_signal(signal.SIGTERM)
        return loss

    monkeypatch.setattr(Trainer, "train_step", terminated)
    assert customize("style", clip, None, tmp_path / "made", model=saved_pipeline, **QUICK) is None
    assert not (tmp_path / "made").exists()
    monkeypatch.undo()
    made = customize("style", clip, None, tmp_path / "made", model=saved_pipeline, **QUICK)
    assert whole is not None and made is not None and sorted(p.name for p in tmp_path.iterdir()) == ["made", "whole"]
    assert (made / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_a_style_takes_on_the_pictures_colours(saved_pipeline: Path, tmp_path: Path) -> None:
    from PIL import Image

    light = Image.linear_gradient("L").resize((640, 400))
    Image.merge("RGB", [light.point(lambda value: value // 4), light, light.point(lambda value: value // 4)]).save(tmp_path / "green.png")
    made = customize("style", tmp_path / "green.png", None, tmp_path / "green", model=saved_pipeline, steps=60, learning_rate=1e-2)
    assert made is not None
    pipeline = loaded(saved_pipeline)
    before = finished(pipeline)
    pipeline.load_lora_weights(made)
    after = finished(pipeline)
    greener = [float(video[:, 1].mean() - video[:, ::2].mean()) for video in (before, after)]
    assert greener[1] > greener[0] + 0.1


def test_lightness_spans_what_is_to_be_seen(tmp_path: Path) -> None:
    from PIL import Image

    ramp = Image.linear_gradient("L").resize((640, 400))
    ramp.point(lambda value: value // 2).convert("RGB").save(tmp_path / "dark.png")
    low, high = lightness([tmp_path / "dark.png"])
    assert low == pytest.approx(-1, abs=0.02) and high == pytest.approx(0, abs=0.02)
    Image.new("RGB", (64, 40), "green").save(tmp_path / "flat.png")
    assert lightness([tmp_path / "flat.png"]) == (-1.0, 1.0)
