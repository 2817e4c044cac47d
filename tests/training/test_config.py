"""A run's TOML file is checked key by key."""

from pathlib import Path

import pytest

from show1.errors import SettingsError
from show1.training.config import AdapterConfig, load_config

GOOD = 'stage = "vae"\nsteps = 3\nbatch_size = 2\n'
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*/*.toml"))


def write(folder: Path, text: str) -> Path:
    (folder / "run.toml").write_text(text)
    return folder / "run.toml"


def test_a_file_gives_its_values_and_the_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD + 'crop = [16, 24]\n[data]\nobjects = ["car"]\n'), steps=9, seed=None)
    assert (config.stage, config.steps, config.batch_size, config.seed) == ("vae", 9, 2, 0)
    assert config.crop == (16, 24) and config.data.objects == ("car",)


def test_an_adapter_is_asked_for_in_a_table(tmp_path: Path) -> None:
    asked = load_config(write(tmp_path, GOOD + '[adapter]\nlayers = ["spatial"]\nrank = 2\n')).adapter
    assert asked == AdapterConfig(layers=("spatial",), rank=2)
    assert load_config(write(tmp_path, GOOD)).adapter is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD + "stepps = 3", "unknown key 'stepps'.*steps"),
        (GOOD + "[data]\nworkers = 0", r"\[data\] workers is 0"),
        (GOOD + "[data]\nbuckets = [64, 40]", r"buckets holds 64.*\[64, 40\]"),
        (GOOD + "[data]\nbuckets = [[64.0, 40]]", r"buckets holds \[64.0, 40\]"),
        (GOOD + "[data]\nsource = 3", "source is 3; it must be text"),
        (GOOD + "[data]\nobject = 1", r"\[data\].*unknown key 'object'"),
        (GOOD + "[adapter]\nrank = 2", "layers"),
        (GOOD + "[adapter]\nlayers = []", "layers is empty"),
        (GOOD + "[distill]\nsteps = 4", r"\[distill\] needs one of the stages keyframes-image"),
        (GOOD + "[distill]\nteacher_steps = 4", "steps"),
        (GOOD + '[adapter]\nlayers = ["spatial"]\nrank = -1', "rank is -1"),
        (GOOD.replace("vae", "sr9"), "unknown stage 'sr9'.*keyframes-image"),
        (GOOD.replace("3", "0"), "steps is 0"),
        (GOOD + 'precision = "int8"', "int8"),
        ('stage = "vae"\nsteps = 3\n', "batch_size"),
        ("stage = ", "not valid TOML"),
        ("\0", "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize("value", ['steps = "many"', "batch_size = 1.5", "data = 3"])
def test_values_of_another_kind_are_refused(tmp_path: Path, value: str) -> None:
    lines = [line for line in GOOD.splitlines() if line.split()[0] != value.split()[0]]
    with pytest.raises(SettingsError, match=value.split()[0]):
        load_config(write(tmp_path, "\n".join([*lines, value])))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.toml"):
        load_config(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.stem != "settings"], ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert path.stem.startswith(load_config(path).stage)
