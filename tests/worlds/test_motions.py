"""What moves is where its caption says, looks where it goes, and stays in the picture."""

import torch
from torch import Tensor

from show1.worlds.backgrounds import paint_backgrounds
from show1.worlds.brushes import make_grid
from show1.worlds.chance import Chance
from show1.worlds.emoji import EmojiWorld
from show1.worlds.motions import CLIP_SECONDS, WORLD_HEIGHT, WORLD_WIDTH, plan_paths
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import PLACE_TABLE, SIZES

_SIZE = (80, 144)
_SEEDS = tuple(range(4))


def _ink(world: EmojiWorld, scene: Scene, seed: int) -> tuple[Tensor, Tensor]:
    """A clip [3, frame, height, width] in [0, 1] of eight keyframes, and where it differs from its background."""
    clip = world.render([scene], [seed], frames=8, fps=1.875, height=_SIZE[0], width=_SIZE[1])[0] / 2 + 0.5
    grid = make_grid(*_SIZE, (0, 0, *_SIZE), torch.device("cpu"))
    background = paint_backgrounds([scene], Chance([seed]), grid)[0]
    return clip, ((clip - background[:, None]).abs().amax(dim=0) > 0.05).float()


def _centres(ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre of the ink as shares of the picture and its amount: x, y and area, each [frame]."""
    area = ink.sum(dim=(1, 2))
    x = (ink.sum(dim=1) * torch.linspace(0, 1, _SIZE[1])).sum(dim=1) / area
    y = (ink.sum(dim=2) * torch.linspace(0, 1, _SIZE[0])).sum(dim=1) / area
    return x, y, area


def _tracks(world: EmojiWorld, motion: str, thing: str = "turtle") -> list[tuple[Tensor, Tensor, Tensor]]:
    scenes = [Scene(object=thing, place="sky", motion=motion, count=seed % 3 + 1) for seed in _SEEDS]
    return [_centres(_ink(world, scene, seed)[1]) for scene, seed in zip(scenes, _SEEDS, strict=True)]


def test_directions_are_seen(world: EmojiWorld) -> None:
    for motion, right, down in (("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1), ("up-right", 1, -1)):
        for x, y, _ in _tracks(world, motion):
            steps_x, steps_y = x.diff(), y.diff()
            if right:
                assert bool((steps_x * right > 0.03).all()), motion
                assert float((x[-1] - x[0]) * right) > 0.4, motion
            else:
                assert float(steps_x.abs().max()) < 0.02, motion
            if down:
                assert bool((steps_y * down > 0.02).all()), motion
                assert float((y[-1] - y[0]) * down) > 0.2, motion
            else:
                assert float(steps_y.abs().max()) < 0.02, motion


def test_closer_grows_and_away_shrinks(world: EmojiWorld) -> None:
    for motion, sign in (("closer", 1), ("away", -1)):
        for _, _, area in _tracks(world, motion):
            assert bool((area.diff() * sign > 0).all())
            ratio = float(area[-1] / area[0])
            assert (ratio if sign > 0 else 1 / ratio) > 3.5  # in area: twice as large


def test_what_stays_does_not_move_and_what_bounces_does(world: EmojiWorld) -> None:
    for x, y, area in _tracks(world, "stay"):
        assert float((x - x[0]).abs().max()) < 0.02 and float((y - y[0]).abs().max()) < 0.02
        assert float((area / area[0] - 1).abs().max()) < 0.15
    for x, y, _ in _tracks(world, "bounce"):
        assert float((x - x[0]).abs().max()) < 0.02
        assert float(y.max() - y.min()) > 0.15
        assert int((y.diff().sign().diff() != 0).sum()) >= 2  # up and down, more than once


def test_spinning_turns_once_and_slowly(world: EmojiWorld) -> None:
    scenes = [Scene(object="car", place="sky", motion="spin", count=seed % 3 + 1) for seed in _SEEDS]
    times = (torch.arange(8) / 1.875).expand(len(scenes), -1)
    turns = plan_paths(scenes, Chance(_SEEDS), times, world.sprites.infos).angle[:, 0].diff(dim=1) * 57.29578
    assert bool((turns > 45).all()) and bool((turns < 60).all())
    assert float(turns.sum(dim=1).min()) > 330
    for x, y, _ in _tracks(world, "spin", "ball"):
        assert float((x - x[0]).abs().max()) < 0.06 and float((y - y[0]).abs().max()) < 0.06


def test_objects_face_the_way_they_move(world: EmojiWorld) -> None:
    """Stand-ins have a yellow head on the side that the real sprite faces."""
    for thing in ("turtle", "horse", "rocket"):
        for motion, sign in (("left", -1), ("right", 1)):
            for seed in _SEEDS[:3]:
                clip, ink = _ink(world, Scene(object=thing, place="ocean", motion=motion, night=True), seed)
                head = ink * ((clip[0] - clip[2]) > 0.3) * ((clip[1] - clip[2]) > 0.3)
                assert float(((_centres(head)[0] - _centres(ink)[0]) * sign).min()) > 0.02, (thing, motion)


def test_groups_fit_the_picture_and_do_not_hide_each_other(world: EmojiWorld) -> None:
    scenes, seeds = [], []
    for index, (place, motion) in enumerate((p, m) for p in PLACE_TABLE for m in world.motions):
        for count in (1, 2, 3):
            size = tuple(SIZES)[(index + count) % 3]
            scenes.append(Scene(object="car", place=place, motion=motion, count=count, size=size))
            seeds.append(index)
    times = torch.tensor([0.0, CLIP_SECONDS / 2, CLIP_SECONDS]).expand(len(scenes), -1)
    paths = plan_paths(scenes, Chance(seeds), times, world.sprites.infos)
    info = world.sprites.infos["car"]
    for row, scene in enumerate(scenes):
        x, y = paths.x[row, : scene.count], paths.y[row, : scene.count]
        half_width = paths.cell[row, : scene.count] * info.width / 2
        half_height = paths.cell[row, : scene.count] * info.height / 2
        assert float((x - half_width).min()) > -12 and float((x + half_width).max()) < WORLD_WIDTH + 12, scene
        assert float((y - half_height).min()) > -12 and float((y + half_height).max()) < WORLD_HEIGHT + 12, scene
        for first in range(scene.count):
            for second in range(first):
                apart_x = (x[first] - x[second]).abs() / (2 * half_width[first])
                apart_y = (y[first] - y[second]).abs() / (2 * half_height[first])
                assert float(torch.maximum(apart_x, apart_y).min()) > 0.6, scene
    side = paths.cell * (info.width * info.height) ** 0.5
    smallest = side[[s.size == "small" and s.motion == "left" for s in scenes]].amin()
    assert float(smallest) * 40 / WORLD_HEIGHT > 8.5  # pixels of a keyframe
