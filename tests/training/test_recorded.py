"""Training on clips from files: every stage, any order of reading, nothing lost and nothing read twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from making_clips import captioned, write_broken, write_clip, write_vae
from show1.cli import app
from show1.data.problems import SkippedClips
from show1.data.storage import Part
from show1.errors import DataError, SettingsError
from show1.training import recorded
from show1.training.clips import SEED_STRIDE, USUAL_SIZES, StageSizes, Wanted, frame_times
from show1.training.config import DataConfig, TrainConfig
from show1.training.loop import Trainer
from show1.training.recorded import RecordedSource, bucket_sizes

Config = Callable[..., TrainConfig]
CPU = torch.device("cpu")
COUNT = 12
STAGES = ("keyframes-image", "keyframes", "interpolation", "first-frame", "pixel", "vae", "latent-text", "latent")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of 4 seconds, clip i of grey 8 i + 20, one of them cut off."""
    folder = captioned(tmp_path_factory.mktemp("clips"), COUNT)
    write_broken(folder / "005.mp4")
    return folder


@pytest.fixture
def source(folder: Path, config: Config, tmp_path: Path) -> Callable[..., RecordedSource]:
    def make(where: Path = folder, **changes: Any) -> RecordedSource:
        settings = config("keyframes", batch_size=4, data=DataConfig(source=str(where), **changes))
        return RecordedSource(settings, str(where), CPU, tmp_path)

    return make


@pytest.fixture
def train(runs: Path, folder: Path, config: Config) -> Callable[..., Path]:
    def run(stage: str, output: Path, source: Path = folder, max_minutes: float | None = None, **changes: Any) -> Path:
        settings = config(stage, **{"data": DataConfig(source=str(source)), **changes})
        return Trainer(settings, output, base=runs, sprites=None, max_minutes=max_minutes).run()

    return run


def losses(run: Path) -> str:
    return (run / "losses.csv").read_text()


def positions(first: int, count: int, seed: int = 5) -> list[int]:
    return [seed * SEED_STRIDE + first + i for i in range(count)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_trains_on_a_folder_of_clips(train: Callable[..., Path], tmp_path: Path, stage: str) -> None:
    final = train(stage, tmp_path / stage, steps=1)
    assert list(final.rglob("*.safetensors"))
    assert float(losses(tmp_path / stage).splitlines()[1].split(",")[1]) > 0


def test_sample_sheets_show_clips_beside_what_is_made(train: Callable[..., Path], tmp_path: Path) -> None:
    train("keyframes-image", tmp_path / "run", steps=1, sample_every=1)
    assert (tmp_path / "run" / "samples" / "step-1.png").is_file()


def test_a_run_that_was_stopped_goes_on_exactly_and_reads_only_what_it_needs(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("keyframes", tmp_path / "whole", steps=3)
    train("keyframes", tmp_path / "broken", steps=3, max_minutes=0)
    seen: list[int] = []
    plain = RecordedSource._read

    def read(self: Any, seed: int, *rest: Any) -> Any:
        seen.append(seed)
        return plain(self, seed, *rest)

    monkeypatch.setattr(RecordedSource, "_read", read)
    train("keyframes", tmp_path / "broken", steps=3)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert sorted(seen) == positions(2, 6), "steps 2 and 3 and one batch ahead, each clip once: what is read ahead is what training uses"


def test_accumulated_parts_read_what_one_batch_reads(train: Callable[..., Path], tmp_path: Path) -> None:
    for name, parts in (("whole", 1), ("parts", 2)):
        train("interpolation", tmp_path / name, steps=2, accumulate=parts, temporal_dropout=0.0)
    have, want = ([float(line.split(",")[1]) for line in losses(tmp_path / name).splitlines()[1:]] for name in ("parts", "whole"))
    assert have == pytest.approx(want, rel=1e-4)


def test_clips_are_the_same_with_any_number_of_workers_and_read_ahead_or_not(source: Callable[..., RecordedSource]) -> None:
    one, many = source(workers=1), source(workers=4)
    for step in range(4):
        seeds, times = positions(4 * step, 4), frame_times(0, 3, 4)
        many.look_ahead(positions(4 * step + 4, 4), times, Wanted())
        have, want = many.clips(seeds, times, Wanted()), one.clips(seeds, times, Wanted())
        assert have.captions == want.captions
        assert torch.equal(have.draw((64, 40)), want.draw((64, 40)))


def test_a_broken_clip_is_counted_and_another_takes_its_place(source: Callable[..., RecordedSource], tmp_path: Path) -> None:
    clips = source()
    captions = [caption for step in range(3) for caption in clips.clips(positions(4 * step, 4), frame_times(0, 2), Wanted()).captions]
    whole = {f"clip number {i}" for i in range(COUNT) if i != 5}
    assert set(captions) == whole and len(captions) == COUNT
    assert clips.measures() == {"skipped clips": 1.0} and "1 (1 unreadable)" in clips.notes()[0]
    assert SkippedClips(tmp_path / "skipped.csv").reasons == {"005.mp4": "unreadable"}
    assert source().measures() == {"skipped clips": 1.0}, "a run that goes on knows what it skipped"


def test_a_set_without_a_clip_that_can_be_used_ends_the_run(source: Callable[..., RecordedSource], tmp_path: Path) -> None:
    captioned(tmp_path / "short", 2, seconds=0.5)
    with pytest.raises(DataError, match=r"too short.*show1 data prepare"):
        source(tmp_path / "short").clips([1], frame_times(0, 8, 4), Wanted())
    assert source(tmp_path / "short").clips([1], torch.tensor([[3.0]]), Wanted()).draw((64, 40)).shape == (1, 3, 1, 40, 64)


def test_a_clip_looks_alike_at_every_size_and_in_every_window(source: Callable[..., RecordedSource]) -> None:
    clips = source().clips(positions(0, 2), frame_times(0, 2), Wanted())
    final, low = clips.draw((576, 320)), clips.draw((64, 40))
    assert final.shape == (2, 3, 2, 320, 576) and final.abs().max() <= 1
    assert torch.equal(clips.draw((576, 320), (16, 32, 64, 80)), final[..., 16:80, 32:112])
    assert torch.equal(clips.draw((64, 40), (8, 8, 16, 16)), low[..., 8:24, 8:24])
    grey = [(8 * int(caption.split()[-1]) + 20) / 127.5 - 1 for caption in clips.captions]
    for have, want in zip(low, grey, strict=True):
        assert float(have[:, :, 25:, 40:].mean()) == pytest.approx(want, abs=0.03)
        assert float(have[0, :, :15, :20].mean()) > 0.6 > -0.6 > float(have[1, :, :15, :20].mean())


def test_a_long_clip_is_seen_from_different_starts(source: Callable[..., RecordedSource], tmp_path: Path) -> None:
    write_clip(tmp_path / "long" / "a.mp4", seconds=12)
    (tmp_path / "long" / "a.txt").write_text("a clip that grows light")
    clips = source(tmp_path / "long").clips(positions(0, 12), frame_times(0, 2, 28), Wanted()).draw((64, 40))[:, 0, :, 30:, 40:]
    first, last = clips.mean((-1, -2)).unbind(1)
    assert float(first.max() - first.min()) > 0.5, "starts lie anywhere in the 8 seconds there are to spare"
    assert torch.allclose(last - first, torch.tensor(200 / 127.5 * (28 / 7.5) / 12), atol=0.04)


def test_portrait_clips_have_a_bucket_of_their_own(source: Callable[..., RecordedSource], tmp_path: Path) -> None:
    for i in range(4):
        write_clip(tmp_path / "both" / f"{i}.mp4", size=(40, 72) if i % 2 else (72, 40))
        (tmp_path / "both" / f"{i}.txt").write_text("portrait" if i % 2 else "landscape")
    result = CliRunner().invoke(app, ["data", "prepare", str(tmp_path / "both"), "-o", str(tmp_path / "out"), "--min-size", "72x40"])
    assert result.exit_code == 0, result.output
    both = source(tmp_path / "out", buckets=([64, 40], [40, 64], [48, 48]))
    shapes = set()
    for step in range(6):
        clips = both.clips(positions(4 * step, 4), frame_times(0, 2), Wanted())
        shapes.add((clips.sizes.final, *set(clips.captions)))
        assert clips.draw(clips.sizes.low).shape[-2:] == clips.sizes.low[::-1]
    assert shapes == {((576, 320), "landscape"), ((320, 576), "portrait")}
    with pytest.raises(SettingsError, match=r"show1 data prepare"):
        source(tmp_path / "both", buckets=([64, 40], [40, 64]))


@pytest.mark.parametrize("stage", ["keyframes-image", "pixel", "latent"])
def test_stages_train_on_portrait_clips(train: Callable[..., Path], tmp_path: Path, stage: str) -> None:
    captioned(tmp_path / "clips", 2, size=(40, 72))
    data = DataConfig(source=str(tmp_path / "clips"), buckets=([40, 64],))  # type: ignore[arg-type]
    assert train(stage, tmp_path / "run", steps=1, data=data).is_dir()


def test_buckets_keep_the_published_stretch() -> None:
    assert bucket_sizes(64, 40) == USUAL_SIZES
    assert bucket_sizes(40, 64) == StageSizes((40, 64), (160, 256), (320, 576))
    assert bucket_sizes(48, 48) == StageSizes((48, 48), (192, 192), (384, 384))
    with pytest.raises(SettingsError, match="65 x 40"):
        bucket_sizes(65, 40)


@pytest.fixture(scope="module")
def prepared(folder: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards with both embeddings and latents, made by the encoders and VAE of the runs."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    for i in (0, 1, 5):
        (few := out.parent / "few").mkdir(exist_ok=True)
        for ending in ("mp4", "txt"):
            (few / f"{i}.{ending}").write_bytes((folder / f"{i:03d}.{ending}").read_bytes())
    encoders = ["--text-encoder", runs / "keyframes/final/text_encoder", "--text-encoder", runs / "latent-text/final/latent_text_encoder"]
    options = ["--vae", write_vae(out.parent / "vae"), "--tokens", 12, "--min-size", "72x40"]
    result = CliRunner().invoke(app, [str(a) for a in ("data", "prepare", few, "-o", out, *encoders, *options)])
    assert result.exit_code == 0, result.output
    return out


def test_embeddings_computed_ahead_train_as_the_encoder_would(
    train: Callable[..., Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare := tmp_path / "bare").mkdir()
    for path in prepared.glob("000000.tar*"):
        (bare / path.name).write_bytes(path.read_bytes())
    train("interpolation", tmp_path / "encoded", source=bare, steps=3, caption_dropout=0.5)
    monkeypatch.setattr("show1.training.texts.load_transformer", lambda *_, **__: pytest.fail("an encoder was loaded"))
    train("interpolation", tmp_path / "stored", source=prepared, steps=3, caption_dropout=0.5)
    have, want = ([float(line.split(",")[1]) for line in losses(tmp_path / name).splitlines()[1:]] for name in ("stored", "encoded"))
    assert have == pytest.approx(want, rel=1e-3)


def test_latents_computed_ahead_train_as_the_vae_would_and_nothing_is_decoded(
    train: Callable[..., Path], config: Config, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare := tmp_path / "bare").mkdir()
    for path in prepared.glob("000000.tar*"):
        (bare / path.name).write_bytes(path.read_bytes())
    start = {**config("latent").start, "vae": str(prepared.parent / "vae")}
    train("latent", tmp_path / "encoded", source=bare, steps=2, start=start, crop=None)
    monkeypatch.setattr(recorded, "read_frames", lambda *_, **__: pytest.fail("a clip was decoded"))
    train("latent", tmp_path / "stored", source=prepared, steps=2, start=start, crop=None)
    have, want = ([float(line.split(",")[1]) for line in losses(tmp_path / name).splitlines()[1:]] for name in ("stored", "encoded"))
    assert have == pytest.approx(want, rel=0.01)
    train("latent", tmp_path / "window", source=prepared, steps=1, start=start, crop=(64, 80))


@pytest.mark.parametrize(
    ("run", "name", "other"),
    [("interpolation", "text_encoder", "keyframes-image/final/text_encoder"), ("latent", "vae", "vae/final/vae")],
)
def test_what_another_network_computed_is_refused(
    config: Config, prepared: Path, runs: Path, tmp_path: Path, run: str, name: str, other: str
) -> None:
    settings = config(run, data=DataConfig(source=str(prepared)))
    settings = replace(settings, start={**settings.start, name: other})
    with pytest.raises(SettingsError, match=f"another {name}"):
        Trainer(settings, tmp_path / run, base=runs, sprites=None)


def test_a_damaged_array_skips_its_clip(source: Callable[..., RecordedSource], prepared: Path) -> None:
    clips = source(prepared)
    record = clips.buckets[0][0]
    record.arrays["t5"] = Part(record.video.place, record.video.offset, 100)  # type: ignore[index]
    read = clips.clips(positions(0, 4), frame_times(0, 1), Wanted(frames=False, arrays=("t5",)))
    assert set(read.captions) == {"clip number 1"} and clips.skipped.reasons == {record.key: "unreadable"}


def test_what_only_the_emoji_world_knows_is_said(train: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="emoji world only"):
        train("keyframes", tmp_path / "run", object_weight=2.0)


def test_the_command_tells_what_was_skipped(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vae.toml").write_text(
        'stage = "vae"\nsteps = 6\nbatch_size = 2\ncrop = [16, 16]\n'
        "[network]\nblock_out_channels = [8, 8]\nnorm_num_groups = 4\n"
        'down_block_types = ["DownEncoderBlock2D", "DownEncoderBlock2D"]\nup_block_types = ["UpDecoderBlock2D", "UpDecoderBlock2D"]\n'
        f'[data]\nsource = "{folder}"\n'
    )
    result = CliRunner().invoke(app, ["train", "vae", "--config", str(tmp_path / "vae.toml"), "-o", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "could not be used: 1 (1 unreadable); see" in " ".join(result.output.split())
