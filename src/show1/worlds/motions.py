"""Where every object of a scene is at any time, in world units: 576 to the right, 320 down, seconds.

Everything happens within `CLIP_SECONDS`, the 29 frames of a clip at 7.5 a second; after that a moving object rests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from show1.worlds.chance import Chance
from show1.worlds.scenes import Scene
from show1.worlds.sprite_files import SpriteInfo
from show1.worlds.vocabulary import OBJECT_TABLE, PLACE_TABLE, ThingWords

WORLD_WIDTH, WORLD_HEIGHT = 576.0, 320.0
CLIP_SECONDS = 28 / 7.5
_KEYFRAME_SECONDS = 4 / 7.5
_RIM = 5.0  # kept between objects and the edge of the picture
_LONGEST_SIDE = 1.3  # of a sprite, in sizes: very long or tall ones are drawn smaller

# Geometric mean of a sprite's width and height for 1, 2 and 3 objects. 76 is 9.5 pixels of a 40-pixel picture.
_SIZES = {"small": (76.0, 76.0, 74.0), "medium": (112.0, 102.0, 92.0), "large": (160.0, 138.0, 118.0)}
# Scaling of "closer" from first to last (of "away" from last to first): small ones must not begin too small.
_GROWTH = {"small": (0.78, 1.75), "medium": (0.66, 1.5), "large": (0.56, 1.28)}

# Offsets of the objects of a group in sizes, back to front: none hides another, and the group fits the picture.
_ABREAST = {1: ((0.0, 0.0),), 2: ((-0.57, -0.07), (0.57, 0.07)), 3: ((0.0, -0.14), (-1.08, 0.08), (1.08, 0.12))}
_STACKED = {1: ((0.0, 0.0),), 2: ((-0.42, -0.45), (0.42, 0.45)), 3: ((-0.66, -0.44), (0.62, -0.4), (0.0, 0.5))}
_STACKED_MOTIONS = ("left", "right", "up-right")
_DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0), "up-right": (1.0, -1.0)}


@dataclass(frozen=True)
class Paths:
    """Objects of a batch over time. All float32 [batch, slot, time] but where said; slots beyond a count are void."""

    x: Tensor  # of the centre, world units
    y: Tensor
    angle: Tensor  # radians, clockwise
    cell: Tensor  # side of the sprite's cell in world units
    ground: Tensor  # y of the ground below the object
    foot_width: Tensor  # world units
    turns: Tensor  # loops of the sprite's own animation so far
    mirror: Tensor  # [batch], 1 as drawn, -1 mirrored
    counts: tuple[int, ...]


@dataclass(frozen=True)
class _Boxes:
    """Sizes of the sprites: float32 [batch], and the room a group takes around its centre, in world units."""

    size: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor
    above: Tensor
    below: Tensor


def plan_paths(scenes: Sequence[Scene], chance: Chance, times: Tensor, infos: dict[str, SpriteInfo]) -> Paths:
    """Paths of all objects; times is float32 [batch, time] in seconds."""
    offsets, present = _offsets(scenes, chance)
    growth = _growth(scenes, times)
    boxes = _boxes(scenes, chance, infos, offsets, present, growth.amax(dim=1))
    centre_x, centre_y, lift = _centres(scenes, chance, times, boxes)
    scale = boxes.size[:, None] * growth
    grounded = centre_y + lift
    x = centre_x[:, None] + offsets[:, :, :1] * scale[:, None]
    y = centre_y[:, None] + offsets[:, :, 1:] * scale[:, None]
    half_height = (boxes.height[:, None] * growth)[:, None] / 2
    cell_per_width = torch.tensor([1 / infos[scene.object].width for scene in scenes])
    return Paths(
        x=x,
        y=y,
        angle=_angles(scenes, chance, times, centre_x, centre_y)[:, None].expand_as(x),
        cell=(boxes.width * cell_per_width)[:, None, None] * growth[:, None].expand_as(x),
        ground=grounded[:, None] + offsets[:, :, 1:] * scale[:, None] + half_height,
        foot_width=(boxes.width[:, None] * growth)[:, None].expand_as(x),
        turns=_turns(scenes, chance, times, infos, offsets.shape[1]),
        mirror=_mirrors(scenes, chance),
        counts=tuple(scene.count for scene in scenes),
    )


def _offsets(scenes: Sequence[Scene], chance: Chance) -> tuple[Tensor, Tensor]:
    """Places within the groups in sizes [batch, slot, 2], and which slots are filled [batch, slot]."""
    slots = max(scene.count for scene in scenes)
    rows = []
    for scene in scenes:
        table = _STACKED if scene.motion in _STACKED_MOTIONS else _ABREAST
        rows.append(table[scene.count] + ((0.0, 0.0),) * (slots - scene.count))
    present = torch.tensor([[slot < scene.count for slot in range(slots)] for scene in scenes])
    jitter = chance.uniform("offsets", 2 * slots, -0.05, 0.05).view(-1, slots, 2)
    several = torch.tensor([float(scene.count > 1) for scene in scenes])[:, None, None]
    return torch.tensor(rows) + jitter * several, present


def _growth(scenes: Sequence[Scene], times: Tensor) -> Tensor:
    """Size over time as a multiple of the scene's size, [batch, time]; even steps look even when they are ratios."""
    first_last = {"closer": (0, 1), "away": (1, 0)}
    ends = torch.ones(len(scenes), 2)
    for row, scene in enumerate(scenes):
        if scene.motion in first_last:
            ends[row] = torch.tensor([_GROWTH[scene.size][end] for end in first_last[scene.motion]])
    logs = ends.log()
    return logs[:, :1].lerp(logs[:, 1:], _progress(times)).exp()


def _progress(times: Tensor) -> Tensor:
    return (times / CLIP_SECONDS).clamp(0, 1)


def _boxes(
    scenes: Sequence[Scene],
    chance: Chance,
    infos: dict[str, SpriteInfo],
    offsets: Tensor,
    present: Tensor,
    largest: Tensor,
) -> _Boxes:
    size = torch.tensor([_SIZES[scene.size][scene.count - 1] for scene in scenes])
    size = size * chance.uniform("size", 1, 0.95, 1.05)[:, 0]
    stretch = torch.tensor([math.sqrt(infos[scene.object].width / infos[scene.object].height) for scene in scenes])
    fit = (_LONGEST_SIDE / torch.maximum(stretch, 1 / stretch)).clamp(max=1.0)
    width, height = size * stretch * fit, size / stretch * fit
    reach_x, reach_y = (offsets[..., axis] * size[:, None] for axis in (0, 1))
    hidden = torch.where(present, 0.0, -torch.inf)
    return _Boxes(
        size=size,
        width=width,
        height=height,
        left=((hidden - reach_x).amax(dim=1) + width / 2) * largest,
        right=((hidden + reach_x).amax(dim=1) + width / 2) * largest,
        above=((hidden - reach_y).amax(dim=1) + height / 2) * largest,
        below=((hidden + reach_y).amax(dim=1) + height / 2) * largest,
    )


def _centres(scenes: Sequence[Scene], chance: Chance, times: Tensor, boxes: _Boxes) -> tuple[Tensor, Tensor, Tensor]:
    """Centre of the groups, and their height above where they would stand: x, y, lift, each [batch, time]."""
    progress = _progress(times)
    low_x, high_x = boxes.left + _RIM, WORLD_WIDTH - boxes.right - _RIM
    low_y, high_y = boxes.above + _RIM, WORLD_HEIGHT - boxes.below - _RIM
    luck = chance.uniform("centre", 5)
    along = torch.tensor([_DIRECTIONS.get(scene.motion, (0.0, 0.0)) for scene in scenes])
    start_x, end_x = _stretch_of(low_x, high_x, along[:, 0], luck[:, 0], (0.55 + 0.15 * luck[:, 1]) * WORLD_WIDTH)
    start_y, end_y = _stretch_of(low_y, high_y, along[:, 1], luck[:, 2], (0.5 + 0.15 * luck[:, 3]) * WORLD_HEIGHT)
    on_ground = torch.tensor([PLACE_TABLE[scene.place].has_ground for scene in scenes])
    standing = torch.minimum(high_y, (0.8 + 0.14 * luck[:, 4]) * WORLD_HEIGHT - boxes.below).maximum(low_y)
    down = (standing - torch.maximum(start_y, end_y)) * on_ground  # ground-bound groups begin or end on it
    x = start_x[:, None].lerp(end_x[:, None], progress)
    y = (start_y + down)[:, None].lerp((end_y + down)[:, None], progress).maximum(low_y[:, None])
    lift = torch.where(on_ground[:, None], standing[:, None] - y, 0.0)
    y, lift = _receding_ground(scenes, progress, boxes, on_ground, y, lift)
    hop = _hops(scenes, chance, times, y - low_y[:, None])
    return x, y - hop, lift + hop


def _stretch_of(low: Tensor, high: Tensor, along: Tensor, luck: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """First and last position of a straight way within a range; without a direction both are one inner point."""
    room = (high - low).clamp(min=0)
    low = torch.where(high >= low, low, (low + high) / 2)
    length = torch.minimum(length, room)
    begin = low + luck * (room - length)
    rest = low + room * (0.2 + 0.6 * luck)
    still, forward = along == 0, along > 0
    start = torch.where(still, rest, torch.where(forward, begin, begin + length))
    end = torch.where(still, rest, torch.where(forward, begin + length, begin))
    return start, end


def _receding_ground(
    scenes: Sequence[Scene], progress: Tensor, boxes: _Boxes, on_ground: Tensor, y: Tensor, lift: Tensor
) -> tuple[Tensor, Tensor]:
    """What comes closer on the ground comes down the picture as well, as its feet do in perspective."""
    nearing = torch.tensor([{"closer": 1.0, "away": -1.0}.get(scene.motion, 0.0) for scene in scenes])[:, None]
    nearness = torch.where(nearing > 0, progress, 1 - progress)
    growth = _growth_share(scenes, nearness)
    feet = (0.66 + 0.27 * nearness) * WORLD_HEIGHT
    perspective = feet - boxes.below[:, None] * growth
    moved = (nearing != 0) & on_ground[:, None]
    return torch.where(moved, perspective, y), torch.where(moved, 0.0, lift)


def _growth_share(scenes: Sequence[Scene], nearness: Tensor) -> Tensor:
    """Size as a share of the largest that "closer" and "away" reach."""
    ratio = torch.tensor([math.log(_GROWTH[scene.size][0] / _GROWTH[scene.size][1]) for scene in scenes])
    return (ratio[:, None] * (1 - nearness)).exp()


def _hops(scenes: Sequence[Scene], chance: Chance, times: Tensor, room: Tensor) -> Tensor:
    """Height of a bounce over time [batch, time]: keyframes see about four moments of each hop."""
    luck = chance.uniform("hops", 3)
    bounces = torch.tensor([float(scene.motion == "bounce") for scene in scenes])[:, None]
    period = _KEYFRAME_SECONDS * (3.6 + 0.8 * luck[:, :1])
    height = torch.minimum((0.32 + 0.1 * luck[:, 1:2]) * WORLD_HEIGHT, room.clamp(min=0))
    return bounces * height * (math.pi * (times / period + luck[:, 2:3])).sin().abs()


def _angles(scenes: Sequence[Scene], chance: Chance, times: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Clockwise turn in radians [batch, time]: spinning, or the heading of rockets and airplanes."""
    per_keyframe = chance.uniform("spin", 1, math.radians(49), math.radians(56))
    spins = torch.tensor([float(scene.motion == "spin") for scene in scenes])[:, None]
    turned = torch.tensor([_heading_turn(scene) for scene in scenes])[:, None]
    return spins * per_keyframe * times / _KEYFRAME_SECONDS + turned


def _heading_turn(scene: Scene) -> float:
    entry, direction = OBJECT_TABLE[scene.object], _DIRECTIONS.get(scene.motion)
    if entry.heading is None or direction is None:
        return 0.0
    pointing = 180 - entry.heading if _must_mirror(scene, entry) else entry.heading
    wanted = math.degrees(math.atan2(-direction[1], direction[0]))
    return math.radians((pointing - wanted + 180) % 360 - 180)


def _must_mirror(scene: Scene, entry: ThingWords) -> bool:
    direction = _DIRECTIONS.get(scene.motion, (0.0, 0.0))[0]
    return (entry.faces == "left" and direction > 0) or (entry.faces == "right" and direction < 0)


def _mirrors(scenes: Sequence[Scene], chance: Chance) -> Tensor:
    """1 as drawn, -1 mirrored [batch]. What looks aside faces its way; with no way to go, either side."""
    luck = chance.uniform("mirror", 1)[:, 0].tolist()
    signs = []
    for scene, coin in zip(scenes, luck, strict=True):
        entry = OBJECT_TABLE[scene.object]
        free = entry.faces != "front" and entry.heading is None and _DIRECTIONS.get(scene.motion, (0.0, 0.0))[0] == 0
        signs.append(-1.0 if _must_mirror(scene, entry) or (free and coin < 0.5) else 1.0)
    return torch.tensor(signs)


def _turns(scenes: Sequence[Scene], chance: Chance, times: Tensor, infos: dict[str, SpriteInfo], slots: int) -> Tensor:
    """Loops of the sprites' animations [batch, slot, time], each object beginning at its own moment."""
    rates = []
    for scene in scenes:
        seconds = infos[scene.object].seconds
        rates.append(OBJECT_TABLE[scene.object].speed / seconds if seconds > 0 else 0.0)
    return chance.uniform("loop", slots)[:, :, None] + torch.tensor(rates)[:, None, None] * times[:, None]
