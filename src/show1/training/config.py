"""A training run's configuration: a TOML file, checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from show1.errors import SettingsError
from show1.training.groups import check_rates
from show1.training.optimizers import OPTIMIZERS

STAGES = (
    "text",
    "rewording",
    "layout",
    "keyframes-image",
    "keyframes",
    "interpolation",
    "first-frame",
    "pixel",
    "vae",
    "latent",
    "recogniser",
)
DENOISING = ("keyframes-image", "keyframes", "interpolation", "first-frame", "pixel", "latent")
"""Stages whose networks are sampled in steps."""
TRACKERS = ("tensorboard", "wandb")
AT_LEAST_ONE = (
    *("steps", "batch_size", "checkpoint_every", "keep_checkpoints", "log_every", "frames", "text_tokens"),
    *("accumulate", "validation_clips", "validation_bands"),
)
"""Keys whose values count something that cannot be missing."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a stage is trained on: users' own clips, or the emoji world."""

    source: str | None = None
    """Clips in WebDataset shards (paths, folders, `{000..007}` patterns, addresses), a CSV or JSONL, or a folder; none for the emoji world."""
    buckets: tuple[tuple[int, int], ...] | None = None
    """Keyframe sizes (width, height); each clip is drawn at the one nearest to its shape, a batch at one. None: all at 64 x 40."""
    workers: int = 2
    """Threads that read and decode clips ahead of training."""
    objects: tuple[str, ...] | None = None
    """Objects the emoji world draws; all where none are named."""
    max_count: int = 3
    """Most objects in a clip of the emoji world."""
    motions: tuple[str, ...] | None = None
    """Motions the emoji world draws; all where none are named."""
    phrasebook: str | None = None
    """For the stage `rewording`: a file of phrases that T5 is to read as it reads the emoji world's captions, see `worlds/phrasebook.py`."""
    synonyms: str | None = None
    """For the same: a JSON file of words that T5 is to read as words it knows, see `synonyms.py`."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingsError(f"[data] workers is {self.workers}; use 1 or more")
        for size in self.buckets or ():
            if not isinstance(size, list | tuple) or [type(side) for side in size] != [int, int]:
                raise SettingsError(f"[data] buckets holds {size!r}; it must hold sizes such as [64, 40]")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """A small change of some layers of a network, trained instead of the network and saved apart from it."""

    layers: tuple[str, ...]
    """Groups (see `training/groups.py`), or modules of the network (`up_blocks.2`), whose linear layers and convolutions are changed."""
    rank: int = 8
    """Rank of the change of each layer (LoRA, with peft); 0 for a change of full rank."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What is written into `adapter.json` beside the rest: what the adapter is for, its prompt, its base model."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise SettingsError("[adapter] layers is empty; name a group, such as temporal-attention")
        if self.rank < 0:
            raise SettingsError(f"[adapter] rank is {self.rank}; use 1 or more, or 0 for full rank")


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """A network that learns to take fewer steps, from the network it starts from, see `distilling.py`."""

    steps: int
    """Steps that the finished network takes from pure noise."""
    teacher_steps: int | None = None
    """Steps that its teacher takes, a multiple of those; None for twice as many. Fewer and fewer steps are learned in one run after the other."""
    guidance: float = 1.0
    """The teacher's classifier-free guidance, which the finished network has in it (Meng et al. 2023) and is sampled without."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(f"[distill] steps is {self.steps}; use 1 or more")
        if self.teacher_steps is not None and (self.teacher_steps % self.steps or self.teacher_steps <= self.steps):
            raise SettingsError(
                f"[distill] teacher_steps is {self.teacher_steps}; use {2 * self.steps} or another multiple of {self.steps} steps"
            )
        if not 0 <= self.guidance <= 100:
            raise SettingsError(f"[distill] guidance is {self.guidance}; use 0 to 100 (1 leaves guidance out)")

    def teacher_steps_each(self) -> int:
        """Steps of the teacher for one of the finished network."""
        return (self.teacher_steps or 2 * self.steps) // self.steps


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What one run trains, on what, and how."""

    stage: str
    """One of STAGES."""
    steps: int
    """Optimizer steps."""
    batch_size: int
    """Clips (or pictures) a step, over all processes."""
    learning_rate: float = 3e-4
    """Peak learning rate of AdamW."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Peak learning rates of parameter groups (see `training/groups.py`) where they differ; 0 freezes a group, the innermost group counts."""
    optimizer: str = "adamw"
    """`adamw`, or one that keeps its state in 8 bits (with bitsandbytes installed): `adamw-8bit`, `lion-8bit`."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    decay_steps: int = 0
    """Last steps over which the learning rate falls linearly to zero."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    gradient_clip: float = 1.0
    """Largest gradient norm."""
    ema_decay: float = 0.999
    """Decay of the averaged weights that are shipped, warmed up from zero."""
    min_snr_gamma: float | None = 5.0
    """Clamp of the Min-SNR loss weights; 0 in a file turns them off."""
    object_weight: float = 1.0
    """How much more a pixel of an object weighs in the keyframe network's loss than one of the background: objects are small."""
    moving_weight: float = 1.0
    """How much more a pixel weighs in that loss where a clip differs from what stays of it: for motion learned from few clips, of any kind."""
    layout_weight: float = 0.0
    """Above 0, the vector that conditions a keyframe network that is told moments also learns to tell where the objects are, see `layout.py`."""
    caption_dropout: float = 0.1
    """Share of captions left empty, for guidance."""
    precision: str = "no"
    """Mixed precision: `no`, `bf16` or `fp16`."""
    accumulate: int = 1
    """Parts that a process goes through its share of a batch in, to save memory: gradients add up, the curve stays."""
    gradient_checkpointing: bool = False
    """Compute activations again on the way back instead of keeping them: less memory, about a third more time."""
    compile: str = "no"
    """Backend of torch.compile for the trained networks, e.g. `inductor`."""
    seed: int = 0
    """Seed of weights, clips, noise and dropout."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """Checkpoints that are kept, the newest."""
    sample_every: int = 0
    """Steps between sample sheets and videos, with one more at the end; 0 makes none."""
    validate_every: int = 0
    """Steps between measurements of the loss on a fixed set of clips, with one more at the end; 0 makes none."""
    validation_clips: int = 16
    """Clips of that set; their noise and timesteps are fixed too."""
    validation_bands: int = 4
    """Equal parts of the range of timesteps that the loss is measured in, each on its own."""
    log_every: int = 20
    """Steps averaged into one point of the progress bar and the logs; losses.csv has every step."""
    log_with: tuple[str, ...] = ("tensorboard",)
    """Where logs go: `tensorboard` (the run's `logs` folder), `wandb` (where it is installed), both or none."""
    frames: int = 8
    """Frames a clip where the stage leaves it open (keyframes, pixel, latent)."""
    crop: tuple[int, int] | None = None
    """(height, width) in pixels of the part of a picture that upscalers, VAE and latent stage train on; None for the whole."""
    picture_size: tuple[int, int] | None = None
    """(width, height) of the pictures a VAE trains on, or on parts of; None for 576 x 320."""
    max_noise_level: int = 300
    """Highest noise level of an upscaler's condition in training."""
    condition_noise: float = 0.0
    """Standard deviation of the noise on interpolation's keyframes and on a window's first frame, so that errors of earlier stages are met."""
    recolour: tuple[float, float] | None = None
    """Show a VAE's encoder its pictures in colours drawn at random, see `recolouring.py`; the two are the lightness, in [-1, 1],
    of what is shown there as black and as white. For a style: the decoder then learns the pictures' own colours."""
    max_timestep: int | None = None
    """Train on timesteps below this one: 900 in the second phase of the latent stage (expert translation)."""
    min_timestep: int = 0
    """Train on timesteps from this one on: what moves where is decided at the noisy ones."""
    timestep_shift: float = 1.0
    """Above 1, training sees more of the noisier timesteps, where what is big is decided, such as motion: 3 puts half of them above 750."""
    text_tokens: int = 32
    """Tokens a caption is padded to for T5."""
    train_text: bool = False
    """Train the text encoder too."""
    grey: float = 0.0
    """Share of the clips that the recogniser is shown in grey, to read videos whose colours are not the world's."""
    temporal_dropout: float = 0.1
    """Dropout inside temporal convolutions while training."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """config.json keys of the network that is trained, or changes to the config of the one it starts from."""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    """scheduler_config.json keys, `_class_name` among them."""
    text_encoder: Mapping[str, Any] = field(default_factory=dict)
    """config.json keys of a text encoder made anew."""
    start: Mapping[str, str] = field(default_factory=dict)
    """Component name -> folder to start from, e.g. `network`, `text_encoder`, `tokenizer`, `vae`; relative to the folder above the run's,
    or `bundled:` and a component of the model in the package."""
    data: DataConfig = field(default_factory=DataConfig)
    """What to train on."""
    adapter: AdapterConfig | None = None
    """Train an adapter of the network instead of the network."""
    distill: DistillConfig | None = None
    """Learn to take fewer steps instead of learning from clips alone."""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise SettingsError(f"unknown stage '{self.stage}'; known: {', '.join(STAGES)}")
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; use 1 or more")
        if self.precision not in ("no", "bf16", "fp16"):
            raise SettingsError(f"precision is '{self.precision}'; use no, bf16 or fp16")
        if self.optimizer not in OPTIMIZERS:
            raise SettingsError(f"unknown optimizer '{self.optimizer}'; known: {', '.join(OPTIMIZERS)}")
        for name in self.log_with:
            if name not in TRACKERS:
                raise SettingsError(f"log_with names '{name}'; known: {', '.join(TRACKERS)}")
        if not 0 <= self.grey <= 1:
            raise SettingsError(f"grey is {self.grey}; use a share from 0 to 1")
        numbers = [value for value in self.recolour or () if type(value) in (int, float)]
        if self.recolour is not None and not (len(numbers) == len(self.recolour) == 2 and numbers[0] < numbers[1]):
            raise SettingsError(f"recolour is {list(self.recolour)}; use two numbers, the lower one first, such as [-1.0, 1.0]")
        if self.recolour is not None and self.stage != "vae":
            raise SettingsError(f"recolour is for the stage vae, not for {self.stage}")
        if self.timestep_shift <= 0:
            raise SettingsError(f"timestep_shift is {self.timestep_shift}; use a number above 0, 1 for an even spread")
        if self.distill is not None and (self.stage not in DENOISING or "network" not in self.start):
            raise SettingsError(f"[distill] needs one of the stages {', '.join(DENOISING)}, and a finished network as `network` in [start]")
        if self.distill is not None and self.adapter is not None:
            raise SettingsError("[distill] changes the whole network and how it is sampled; leave out [adapter]")
        check_rates(self.rates)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, to be kept with the weights."""
        return asdict(self)


TABLES: dict[str, Any] = {"data": DataConfig, "adapter": AdapterConfig, "distill": DistillConfig}
"""Tables of a file that have classes of their own."""
PLAIN_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", tuple: "a list", Mapping: "a table"}


def _kinds(hint: Any) -> list[Any]:
    """The types that a field's annotation admits, without their parameters and None."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [get_origin(part) or part for part in parts if part is not NoneType]


def _fits(value: Any, hint: Any) -> bool:
    """Whether a TOML value is of a type that a field's annotation admits."""
    stands_for: Any = tuple if isinstance(value, list) else Mapping if isinstance(value, dict) else type(value)
    return stands_for in _kinds(hint) or (type(value) is int and float in _kinds(hint))


def _plain(hint: Any) -> str:
    return " or ".join(PLAIN_NAMES.get(kind, str(kind)) for kind in _kinds(hint))


def _checked(cls: type, values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} must be a table of keys with values, not {values!r}")
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    for name in values:
        if name not in known:
            raise SettingsError(f"{where}: unknown key '{name}'; known: {', '.join(sorted(known))}")
        if not _fits(values[name], hints[name]):
            raise SettingsError(f"{where}: {name} is {values[name]!r}; it must be {_plain(hints[name])}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def load_config(path: str | Path, **overrides: Any) -> TrainConfig:
    """Read a run's TOML file; `overrides` replace its keys where they are not None.

    Raises:
        SettingsError: missing or malformed file, unknown key, impossible value.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration '{path}': {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"'{path}' is not valid TOML: {error}") from error
    values |= {name: value for name, value in overrides.items() if value is not None}
    tables = {name: values.pop(name) for name in TABLES if name in values}
    try:
        parts: dict[str, Any] = {name: TABLES[name](**_checked(TABLES[name], table, f"{path} [{name}]")) for name, table in tables.items()}
        return TrainConfig(**_checked(TrainConfig, values, str(path)), **parts)
    except TypeError as error:
        raise SettingsError(f"{path}: {error}") from error
