"""Parameter groups by name: learning rates, and parts that stay as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

import tiny
from show1 import PixelUNet
from show1.errors import SettingsError
from show1.training.config import TrainConfig, load_config
from show1.training.groups import groups_of, in_group, rate_of, trained_groups
from show1.training.loop import Trainer

Config = Callable[..., TrainConfig]
SMALL_T5 = T5Config(vocab_size=16, d_model=8, d_kv=4, num_heads=2, d_ff=8, num_layers=1)
SMALL_CLIP = CLIPTextConfig(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
NAMES = {
    "conv_in.weight": ("spatial",),
    "down_blocks.1.attentions.0.to_q.weight": ("spatial", "spatial-attention"),
    "class_embedding.linear_1.weight": ("spatial", "moments"),
    "down_blocks.0.temp_convs.0.conv1.2.weight": ("temporal", "temporal-convolution"),
    "up_blocks.0.temp_attentions.1.transformer_blocks.0.attn1.to_q.weight": ("temporal", "temporal-attention"),
    "up_blocks.0.temp_attentions.1.transformer_blocks.0.ff.net.2.weight": ("temporal",),
    "transformer_in.transformer_blocks.0.attn2.to_v.weight": ("temporal", "temporal-attention"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_its_groups(name: str) -> None:
    assert groups_of("keyframes_unet", name) == NAMES[name]
    assert groups_of("latent_text_encoder", name) == ("text",)


@pytest.mark.parametrize("encoder", [T5EncoderModel(SMALL_T5), CLIPTextModel(SMALL_CLIP)])
def test_text_encoders_have_words(encoder: torch.nn.Module) -> None:
    names = [name for name, _ in encoder.named_parameters()]
    assert len([name for name in names if in_group("words", "text_encoder", name)]) == 1 < len(names)
    assert all(in_group("text", "text_encoder", name) and not in_group("words", "keyframes_unet", name) for name in names)


@pytest.mark.parametrize(("cls", "config"), [(PixelUNet, tiny.pixel_config()), (UNet3DConditionModel, tiny.LATENT_CONFIG)])
def test_real_networks_have_every_group(cls: type, config: dict[str, object]) -> None:
    names = [name for name, _ in cls.from_config(config).named_parameters()]  # type: ignore[attr-defined]
    for group in ("spatial", "spatial-attention", "temporal", "temporal-convolution", "temporal-attention"):
        assert any(in_group(group, "unet", name) for name in names), group


def test_the_innermost_group_counts() -> None:
    rates = {"temporal-attention": 1e-3, "temporal": 0.0}
    assert rate_of(rates, 1e-4, "unet", "transformer_in.transformer_blocks.0.attn1.to_q.weight") == 1e-3
    assert rate_of(rates, 1e-4, "unet", "down_blocks.0.temp_convs.0.conv1.2.weight") == 0
    assert rate_of(rates, 1e-4, "unet", "conv_in.weight") == 1e-4


def is_trained(component: str, name: str) -> bool:
    return in_group("temporal", component, name) and not in_group("temporal-attention", component, name)


def test_a_run_changes_only_what_has_a_rate(runs: Path, sprites: Path, config: Config, tmp_path: Path) -> None:
    wanted = config("keyframes", rates={"spatial": 0, "text": 0, "temporal": 1e-2, "temporal-attention": 0})
    trainer = Trainer(wanted, tmp_path / "run", base=runs, sprites=sprites)
    networks = {"keyframes_unet": trainer.task.network, "text_encoder": trainer.task.modules["text_encoder"]}
    before = {(c, n): p.detach().clone() for c, module in networks.items() for n, p in module.named_parameters()}
    trainer.train_step()
    kept = sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"])
    for component, module in networks.items():
        for name, parameter in module.named_parameters():
            trained = is_trained(component, name)
            assert parameter.requires_grad == trained and (parameter.grad is None or trained)
            assert trained or torch.equal(parameter, before[component, name]), name
    changed = [n for n, p in networks["keyframes_unet"].named_parameters() if not torch.equal(p, before["keyframes_unet", n])]
    assert any(name.endswith("proj_out.weight") for name in changed)
    assert kept == sum(p.numel() for name, p in before.items() if is_trained(*name)), "frozen parameters take no optimizer state"
    assert len(trainer.ema.shadow_params) == len(before), "the averaged weights are those of the whole network"


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(SettingsError, match="learning rate is 0"):
        trained_groups({"unet": torch.nn.Linear(2, 2)}, {"spatial": 0}, 1e-3)


@pytest.mark.parametrize(
    ("line", "reason"), [("temporl = 1e-3", "unknown group 'temporl'.*temporal-attention"), ("text = -1", "text is -1")]
)
def test_rates_are_checked(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "run.toml").write_text(f'stage = "keyframes"\nsteps = 1\nbatch_size = 1\n[rates]\n{line}\n')
    with pytest.raises(SettingsError, match=reason):
        load_config(tmp_path / "run.toml")
