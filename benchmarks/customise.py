"""Motion and style from one clip, on the bundled model: what is learned, and what it costs objects and places.

Run: python benchmarks/customise.py SPRITES FOLDER [--model FOLDER] [--prompts 14] [--motion zigzag] [--steps N] [--only motion|style]
     [--grey-recogniser FOLDER]

One rendered clip shows a turtle on the beach on a way that the world does not have (zigzag or eight); eight pictures show
objects in places in the green of a night-vision camera. Adapters of both are learned, and videos of other objects in other
places (other pairs than the pictures') are made with them and without, with the same prompts and seeds. Prints Markdown tables: of the motion on
the keyframes, of the style on the finished videos (every fourth frame), where likeness is the mean correlation of luminance with the
video made without an adapter. The package's recogniser was trained on the world's colours, and cannot read green pictures; the style
needs one that was trained on grey ones (`configs/bundled/recogniser-grey.toml`), which reads every video turned grey. FOLDER gets the
clips, the adapters and contact sheets; adapters that are there are used as they are.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from show1.cascade.loading import load_model, quiet_libraries
from show1.cascade.settings import PUBLISHED
from show1.evaluation.reference import load_recogniser
from show1.evaluation.tracking import agreement, goes, track
from show1.models.recogniser import Recogniser, in_grey, luminance
from show1.training.customise import customize
from show1.training.recipes import KINDS
from show1.video import contact_sheet, to_pil, write_video
from show1.worlds.backgrounds import paint_backgrounds
from show1.worlds.brushes import make_grid
from show1.worlds.chance import Chance
from show1.worlds.emoji import EmojiWorld, Scene
from show1.worlds.motions import CLIP_SECONDS, WORLD_HEIGHT, WORLD_WIDTH, plan_paths
from show1.worlds.sprite_layers import add_sprites
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE

SHOWN = Scene(object="turtle", place="beach", motion="stay")
PICTURES = 8
SEED = 11
FINAL, LOW = PUBLISHED.final_size, PUBLISHED.keyframe_size
GREEN = (0.2, 1.0, 0.3)


def zigzag(share: Tensor) -> tuple[Tensor, Tensor]:
    """x and y in shares of the picture: to the right, up and down at every second keyframe."""
    keyframe = share * 7
    return 0.24 + 0.52 * share, 0.5 - 0.22 * (2 / math.pi) * (math.pi / 2 * keyframe).sin().asin()


def eight(share: Tensor) -> tuple[Tensor, Tensor]:
    """A figure of eight lying on its side, once."""
    turn = 2 * math.pi * share
    return 0.5 + 0.26 * turn.sin(), 0.5 + 0.22 * (2 * turn).sin()


WAYS = {"zigzag": zigzag, "eight": eight}


def render(store: SpriteStore, scene: Scene, seed: int, way: str, times: Tensor, size: tuple[int, int]) -> Tensor:
    """A clip [3, F, H, W] in [-1, 1] whose object goes one of WAYS."""
    chance, grid = Chance([seed]), make_grid(size[1], size[0], (0, 0, size[1], size[0]), torch.device("cpu"))
    paths = plan_paths([scene], chance, times[None], store.infos)
    x, y = WAYS[way](times / CLIP_SECONDS)
    x, y = (x * WORLD_WIDTH).expand_as(paths.x), (y * WORLD_HEIGHT).expand_as(paths.y)
    clip = paint_backgrounds([scene], chance, grid)[:, :, None].repeat(1, 1, len(times), 1, 1)
    add_sprites(clip, [scene], replace(paths, x=x, y=y), store, grid)
    return clip[0].mul(2).sub(1).clamp(-1, 1)


def greened(video: Tensor) -> Tensor:
    """A video [3, ...] in [-1, 1] in shades of green."""
    light = (luminance(video[None])[0] + 1) / 2
    return torch.stack([light * part for part in GREEN]).mul(2).sub(1)


def as_light(video: Tensor, *, green: bool) -> Tensor:
    """A video [3, F, H, W] in grey, as light as it was before it was turned green: what is in the green channel then."""
    return video[1:2].expand_as(video) if green else in_grey(video[None])[0]


def likeness(video: Tensor, plain: Tensor) -> float:
    """Correlation of two videos' [3, ...] luminance: how much of what is to be seen is the same, whatever its colours."""
    return float(torch.corrcoef(luminance(torch.stack([video, plain])).flatten(1))[0, 1])


def is_green(video: Tensor) -> bool:
    """Whether a video's [3, ...] colours lie nearer to that green than a tenth of a right angle, weighed by their brightness."""
    colours, green = ((video.float() + 1) / 2).clamp(0, 1).flatten(1), torch.tensor(GREEN)
    angles = (torch.nn.functional.cosine_similarity(colours, green[:, None], dim=0)).clamp(-1, 1).acos()
    weights = colours.norm(dim=0)
    return float((angles * weights).sum() / weights.sum()) < math.pi / 20


def where(place: str) -> str:
    """The first of the world's phrases for a place."""
    return PLACE_TABLE[place].where[0]


def asked(objects: list[str], places: list[str], count: int) -> list[tuple[str, str]]:
    """Pairs of objects and places, none of them the shown one's, going round in both."""
    objects, places = [o for o in objects if o != SHOWN.object], [p for p in places if p in PLACE_TABLE and p != SHOWN.place]
    return [(objects[i % len(objects)], places[(i + i // len(objects)) % len(places)]) for i in range(count)]


def prompt_of(name: str, place: str) -> str:
    """What is asked for: no motion in particular."""
    return f"a {OBJECT_TABLE[name].name} moves {where(place)}"


def check_tracker(store: SpriteStore, way: str, pairs: list[tuple[str, str]], moments: Tensor) -> None:
    """Say how far the tracker can be trusted: on rendered clips of the new way, and of the world's own motions."""
    wanted = torch.stack(WAYS[way](moments / CLIP_SECONDS), dim=1)
    right = sum(
        goes(render(store, Scene(object=o, place=p, motion="stay"), i, way, moments, LOW), wanted) for i, (o, p) in enumerate(pairs)
    )
    world, others, false = EmojiWorld(store), 0, 0
    for i, (name, place) in enumerate(pairs):
        for motion in MOTION_TABLE:
            clip = world.render([Scene(object=name, place=place, motion=motion)], [i], times=moments, height=LOW[1], width=LOW[0])[0]
            others, false = others + 1, false + goes(clip, wanted)
    print(
        f"tracker on rendered clips: {way} seen in {right}/{len(pairs)} that go it, and in {false}/{others} that go another way", flush=True
    )


def shown_clip(store: SpriteStore, way: str, folder: Path) -> tuple[list[Path], str]:
    """A clip of the turtle on its way, and its prompt."""
    path = folder / f"{way}.mp4"
    write_video(render(store, SHOWN, SEED, way, torch.tensor(PUBLISHED.frame_times()), FINAL), path, PUBLISHED.fps)
    return [path], prompt_of(SHOWN.object, SHOWN.place)


def shown_pictures(store: SpriteStore, pairs: list[tuple[str, str]], folder: Path) -> tuple[list[Path], None]:
    """Green pictures of objects in places; no prompt."""
    world, paths = EmojiWorld(store), []
    for index, (name, place) in enumerate(pairs):
        scene = Scene(object=name, place=place, motion="stay")
        drawn = world.render([scene], [SEED + index], times=torch.zeros(1), width=FINAL[0], height=FINAL[1])[0]
        paths.append(folder / f"green-{index}.png")
        to_pil(greened(drawn))[0].save(paths[-1])
    return paths, None


def learn(
    kind: str, store: SpriteStore, way: str, pairs: list[tuple[str, str]], folder: Path, model: str | None, changes: dict[str, Any]
) -> Path:
    """The adapter of a rendered clip or of pictures, learned unless it is there."""
    name = way if kind == "motion" else "green"
    folder.mkdir(parents=True, exist_ok=True)
    source, prompt = shown_clip(store, way, folder) if kind == "motion" else shown_pictures(store, pairs, folder)
    adapter = folder / name
    if not adapter.exists():
        started = time.perf_counter()
        customize(kind, source, prompt, adapter, model=model, **changes)
        size = sum(p.stat().st_size for p in adapter.glob("*.safetensors")) / 1e6
        print(f"{name}: learned in {(time.perf_counter() - started) / 60:.1f} minutes, {size:.2f} MB", flush=True)
    return adapter


def sheets(made: dict[str, list[Tensor]], folder: Path, what: str) -> None:
    """The frames of videos, one video a row."""
    for name, videos in made.items():
        contact_sheet([[picture.resize((96, 60)) for picture in to_pil(video)] for video in videos]).save(folder / f"{what}-{name}.png")


def read_with(recogniser: Recogniser, videos: list[Tensor]) -> list[dict[str, str]]:
    """What a recogniser reads off videos [3, F, H, W]."""
    with torch.no_grad():
        return [recogniser.name(recogniser(video[None]))[0] for video in videos]


def right(read: list[dict[str, str]], pairs: list[tuple[str, str]]) -> list[int]:
    """How often the object and the place were read that had been asked for."""
    return [sum(seen[what] == pair[i] for seen, pair in zip(read, pairs, strict=True)) for i, what in enumerate(("object", "place"))]


def table(columns: list[str]) -> None:
    """A table's head."""
    print(f"\n| {' | '.join(columns)} |\n|" + "---|" * len(columns))


def row(name: str, *cells: str) -> None:
    """A table's row, as it is measured."""
    print(f"| {' | '.join((name, *cells))} |", flush=True)


def tell_motion(way: str, wanted: Tensor, pairs: list[tuple[str, str]], made: dict[str, list[Tensor]]) -> None:
    """Whether keyframes go the clip's way, and what they show."""
    recogniser, count = load_recogniser(), len(pairs)
    table(["adapter", f"goes a {way}", "correlation, reach", "object", "place", f"{SHOWN.object} or {SHOWN.place} seen"])
    for name, videos in made.items():
        ways = torch.stack([torch.stack(agreement(track(video), wanted)) for video in videos])
        correlation, reach = ways.amin(2).mean(0).tolist()  # the worse of x and y
        read = read_with(recogniser, videos)
        leaked = sum(seen["object"] == SHOWN.object or seen["place"] == SHOWN.place for seen in read)
        going = sum(goes(video, wanted) for video in videos)
        row(name, f"{going}/{count}", f"{correlation:.2f}, {reach:.2f}", *(f"{share}/{count}" for share in (*right(read, pairs), leaked)))


def tell_style(pairs: list[tuple[str, str]], made: dict[str, list[Tensor]], recogniser: Recogniser | None) -> None:
    """Whether finished videos are green, and what they show."""
    count = len(pairs)
    made = {"none": made["none"], "none, turned green": [greened(video) for video in made["none"]], **made}
    table(["adapter", "green", *(["object in grey", "place in grey"] if recogniser else []), "likeness"])
    for name, videos in made.items():
        light = [as_light(video, green=name != "none") for video in videos]
        shown = right(read_with(recogniser, light), pairs) if recogniser else []
        like = sum(likeness(video, plain) for video, plain in zip(videos, made["none"], strict=True)) / count
        row(name, *(f"{share}/{count}" for share in (sum(map(is_green, videos)), *shown)), f"{like:.2f}")


def make(pipeline: Any, pairs: list[tuple[str, str]], names: list[str], weight: float, *, finish: bool) -> list[Tensor]:
    """Keyframes, or every fourth frame of finished videos, [3, F, H, W] in [-1, 1], with some adapters."""
    pipeline.set_adapters(names, [weight] * len(names))
    made = []
    for index, pair in enumerate(pairs):
        output = pipeline(prompt_of(*pair), seed=SEED + index, stop_after="latent" if finish else "keyframes", output_type="pt")
        video = output.latent_upscaled[:, :, :: PUBLISHED.between + 1] if finish else output.keyframes
        made.append(video[0].float().cpu().clamp(-1, 1))
    return made


def measure_motion(pipeline: Any, store: SpriteStore, pairs: list[tuple[str, str]], names: list[str], given: argparse.Namespace) -> None:
    """Make and read keyframes without and with the adapter of a motion."""
    moments = torch.tensor(PUBLISHED.frame_times()[:: PUBLISHED.between + 1])
    check_tracker(store, given.motion, pairs, moments)
    settings = {"none": [], "motion": names}
    made = {name: make(pipeline, pairs, acting, given.weight, finish=False) for name, acting in settings.items()}
    sheets(made, given.folder, "keyframes")
    tell_motion(given.motion, torch.stack(WAYS[given.motion](moments / CLIP_SECONDS), dim=1), pairs, made)


def measure_style(pipeline: Any, pairs: list[tuple[str, str]], adapters: dict[str, list[str]], given: argparse.Namespace) -> None:
    """Make and read finished videos without and with the adapter of a style, and with a motion's beside it."""
    settings = {"none": [], "style": adapters["style"]}
    if "motion" in adapters:
        settings["both"] = adapters["motion"] + adapters["style"]
    made = {name: make(pipeline, pairs, acting, given.weight, finish=True) for name, acting in settings.items()}
    sheets(made, given.folder, "finished")
    tell_style(pairs, made, given.grey_recogniser and load_recogniser(given.grey_recogniser))


def main() -> None:
    """Learn, make and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sprites", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--prompts", type=int, default=14)
    parser.add_argument("--motion", choices=WAYS, default="zigzag")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--grey-recogniser", type=Path)
    parser.add_argument("--weight", type=float, default=1.0, help="of each adapter")
    given = parser.parse_args()
    quiet_libraries()
    pipeline, store = load_model(given.model), SpriteStore.load(given.sprites)
    pipeline.set_progress_bar_config(disable=True)
    pairs = asked(pipeline.vocabulary["objects"], pipeline.vocabulary["places"], PICTURES + given.prompts)
    pictured, pairs = pairs[:PICTURES], pairs[PICTURES:]
    adapters = {}
    for kind in [given.only] if given.only else KINDS:
        adapter = learn(kind, store, given.motion, pictured, given.folder, given.model, {"steps": given.steps})
        pipeline.load_lora_weights(adapter)
        adapters[kind] = [adapter.name]
    if "motion" in adapters:
        measure_motion(pipeline, store, pairs, adapters["motion"], given)
    if "style" in adapters:
        measure_style(pipeline, pairs, adapters, given)


if __name__ == "__main__":
    main()
