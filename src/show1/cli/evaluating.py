"""`show1 evaluate`: what a model shows of what was asked, how far its measure can be trusted, and how two models differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from show1.cli import options
from show1.cli.common import for_people, load_model, out, quiet_libraries
from show1.errors import SettingsError

if TYPE_CHECKING:
    from show1.evaluation.prompts import Asked


@for_people
def recogniser(
    folder: Annotated[Path, typer.Argument(help="The recogniser's folder; its record is written there.")],
    sprites: Annotated[Path, typer.Option(help="The emoji world's sprites, see `show1 data sprites`.")],
    samples: Annotated[int, typer.Option(min=2, help="Fresh rendered clips to read.")] = 500,
    seed: options.Seed = 0,
) -> None:
    """Measure the recogniser itself on fresh rendered clips, at the sizes of all stages."""
    quiet_libraries()
    from show1.evaluation.reference import load_recogniser, measure_reference
    from show1.evaluation.report import markdown, summarise

    network = load_recogniser(folder)
    world = _world(network.labels, sprites)
    with tqdm(total=samples, desc="clips") as bar:
        reference = measure_reference(network, world, samples, seed, bar.update)
    reference.save(folder)
    out.print(markdown({**summarise([], reference), "groups": {}}), markup=False, soft_wrap=True)


@for_people
def alignment(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the readings; a run that is there goes on.")],
    model: options.Model = None,
    prompts: Annotated[str, typer.Option(help="held-out, seen, both, paraphrases, sentences, or a file of JSON lines.")] = "both",
    samples: Annotated[int, typer.Option(min=1, help="Prompts of each kind.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same prompts and videos.")] = 0,
    stop_after: options.StopAfter = "latent",
    ceilings: Annotated[int, typer.Option(min=0, help="Drawn clips to send through each stage alone (needs --sprites).")] = 0,
    sprites: options.Sprites = None,
    recogniser: Annotated[Path | None, typer.Option(help="A recogniser's folder in place of the package's own.")] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> None:
    """Make videos of prompts and read off every stage what they show of what was asked."""
    quiet_libraries()
    from show1.evaluation.alignment import AlignmentRun, ceiling_of, generator_of
    from show1.evaluation.prompts import check_readable, drawn_by
    from show1.evaluation.reference import BUNDLED as OWN
    from show1.evaluation.reference import Reference, load_recogniser

    if ceilings and sprites is None:
        raise SettingsError("--ceilings draws clips: fetch the sprites with `show1 data sprites DIR` and pass --sprites DIR")
    network = load_recogniser(recogniser)
    reference = Reference.load(recogniser or OWN)
    pipeline = load_model(model, device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    network.to(pipeline._execution_device)
    drawn = drawn_by(pipeline)
    check_readable(drawn, network.labels)
    labels = {**network.labels, **drawn}
    asked = _prompts(prompts, labels, samples, seed)
    for one in asked:
        check_readable({name: [value] for name, value in one.wanted.items()}, network.labels)
    shared = {
        "model": model or "bundled",
        "recogniser": str(recogniser or "bundled"),
        "dtype": str(pipeline.keyframes_unet.dtype),
        "settings": pipeline.settings.to_dict(),
    }
    run = AlignmentRun(output, {**shared, "seed": seed, "stop_after": stop_after})
    jobs = [(asked, generator_of(pipeline, stop_after))]
    if ceilings and sprites:
        jobs.append((_ceiling_prompts(labels, ceilings, seed), ceiling_of(pipeline, _world(labels, sprites), stop_after)))
    for prompts_of_job, make in jobs:
        done = len({one.id for one in prompts_of_job} & {reading.id for reading in run.readings()})
        for _ in tqdm(run.go_on(prompts_of_job, network, make), total=len(prompts_of_job), initial=done, desc=prompts_of_job[0].group):
            _write_report(run, reference)
    out.print(_write_report(run, reference), markup=False, soft_wrap=True)
    out.print(f"report in {output}", markup=False)


@for_people
def compare(
    first: Annotated[Path, typer.Argument(help="A folder of `show1 evaluate alignment`.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same prompts and seed.")],
) -> None:
    """Compare two runs video by video: what one shows rightly and the other does not, with the interval of the change."""
    quiet_libraries()
    from show1.evaluation.compare import comparison, paired_readings

    out.print(comparison(paired_readings(first, second)), markup=False, soft_wrap=True)


def _prompts(prompts: str, labels: dict[str, list[str]], samples: int, seed: int) -> list[Asked]:
    from show1.evaluation.prompts import SPLITS, WRITTEN, file_prompts, world_prompts

    groups = list(SPLITS) if prompts == "both" else [prompts]
    if set(groups) <= set(SPLITS):
        return [one for group in groups for one in world_prompts(labels, group, samples, seed)]
    path = WRITTEN.get(prompts, Path(prompts))
    if not path.is_file():
        raise SettingsError(
            f"--prompts takes held-out, seen, both, {', '.join(WRITTEN)} or a file of JSON lines; there is no file '{prompts}'"
        )
    return file_prompts(path, seed)


def _ceiling_prompts(labels: dict[str, list[str]], samples: int, seed: int) -> list[Asked]:
    from dataclasses import replace

    from show1.evaluation.prompts import world_prompts

    asked = world_prompts(labels, "held-out", samples, seed)
    return [replace(one, id=f"ceiling-{k}", group="ceiling") for k, one in enumerate(asked)]


def _world(labels: dict[str, list[str]], sprites: Path) -> Any:
    from show1.worlds.emoji import EmojiWorld
    from show1.worlds.sprites import SpriteStore

    return EmojiWorld(SpriteStore.load(sprites, labels["object"]), objects=labels["object"], max_count=len(labels["count"]))


def _write_report(run: Any, reference: Any) -> str:
    from show1.evaluation.report import failures, markdown, summarise
    from show1.video import whole_file

    readings = run.readings()
    summary = summarise(readings, reference)
    text = markdown(summary)
    for name, content in {"report.json": json.dumps(summary, indent=1) + "\n", "report.md": text}.items():
        with whole_file(run.folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
    sheet = failures([reading for reading in readings if reading.group != "ceiling"], run.folder)
    if sheet is not None:
        sheet.save(run.folder / "failures.png")
    return text
