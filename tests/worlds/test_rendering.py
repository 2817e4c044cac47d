"""Clips are pure, the same at every resolution, and cut cleanly."""

import pytest
import torch
from torch.nn.functional import interpolate

from show1.errors import DataError
from show1.worlds.emoji import EmojiWorld
from show1.worlds.scenes import Scene, is_held_out
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import MOTION_TABLE, PLACE_TABLE


def _scenes_of_all_places() -> list[Scene]:
    scenes = []
    for index, place in enumerate(PLACE_TABLE.values()):
        motion = list(MOTION_TABLE)[index % len(MOTION_TABLE)]
        nights = (False, True)[: 1 + place.has_night]
        scenes += [Scene(object="horse", place=place.name, motion=motion, count=index % 3 + 1, night=night) for night in nights]
    return scenes


def test_shape_range_and_purity(world: EmojiWorld) -> None:
    scenes = _scenes_of_all_places()
    seeds = list(range(len(scenes)))
    before = torch.get_rng_state()
    clips = world.render(scenes, seeds, frames=3, fps=1.0, height=40, width=64)
    assert torch.equal(before, torch.get_rng_state())
    assert clips.shape == (len(scenes), 3, 3, 40, 64) and clips.dtype == torch.float32
    assert bool(torch.isfinite(clips).all()) and float(clips.min()) >= -1 and float(clips.max()) <= 1
    assert torch.equal(clips, world.render(scenes, seeds, frames=3, fps=1.0, height=40, width=64))
    alone = world.render(scenes[5:6], seeds[5:6], frames=3, fps=1.0, height=40, width=64)
    assert torch.allclose(alone[0], clips[5], atol=1e-4)
    other = world.render(scenes, [seed + 1 for seed in seeds], frames=3, fps=1.0, height=40, width=64)
    assert float((clips - other).abs().mean(dim=(1, 2, 3, 4)).min()) > 0.005


def test_times_override_frames_and_may_differ_by_clip(world: EmojiWorld) -> None:
    scenes, seeds = _scenes_of_all_places()[:2], [3, 4]
    whole = world.render(scenes, seeds, frames=5, fps=2.0, height=40, width=64)
    picked = world.render(scenes, seeds, times=torch.tensor([[0.5, 2.0], [1.0, 0.0]]), height=40, width=64)
    assert torch.allclose(picked[0], whole[0][:, [1, 4]], atol=1e-4)
    assert torch.allclose(picked[1], whole[1][:, [2, 0]], atol=1e-4)
    same = world.render(scenes, seeds, times=torch.tensor([0.5, 1.0]), height=40, width=64)
    assert torch.allclose(same, whole[:, :, 1:3], atol=1e-4)


@pytest.mark.parametrize("size", [(320, 576), (160, 256), (40, 64)])
def test_a_crop_is_a_slice_of_the_whole(world: EmojiWorld, size: tuple[int, int]) -> None:
    height, width = size
    top, left, rows, columns = height // 4, width // 3, height // 2, width // 4
    scenes = _scenes_of_all_places()
    seeds = list(range(len(scenes)))
    times = torch.tensor([1.5])
    whole = world.render(scenes, seeds, times=times, height=height, width=width)
    part = world.render(scenes, seeds, times=times, height=height, width=width, crop=(top, left, rows, columns))
    assert torch.allclose(part, whole[..., top : top + rows, left : left + columns], atol=2e-4)


@pytest.mark.parametrize(("size", "mean_db", "least_db"), [((40, 64), 35.0, 28.0), ((160, 256), 40.0, 33.0)])
def test_small_drawings_are_large_ones_scaled_down(world: EmojiWorld, size: tuple[int, int], mean_db: float, least_db: float) -> None:
    scenes = _scenes_of_all_places()
    seeds, times = list(range(len(scenes))), torch.tensor([1.0])
    large = world.render(scenes, seeds, times=times)[:, :, 0]
    small = world.render(scenes, seeds, times=times, height=size[0], width=size[1])[:, :, 0]
    scaled = interpolate(large, size, mode="bilinear", antialias=True)
    noise = (small - scaled).square().mean(dim=(1, 2, 3))
    quality = 10 * torch.log10(4 / noise)
    assert float(quality.mean()) > mean_db and float(quality.min()) > least_db


def test_less_memory_draws_the_same_small_pictures() -> None:
    names = ("turtle", "rocket")
    full = SpriteStore.synthetic(names)
    assert full.sides[0] == 192
    scenes = [Scene(object="turtle", place="desert", motion="closer", size="large")]
    sheets = {name: full.frames_of(name) for name in names}
    lean = EmojiWorld(SpriteStore(sheets, largest=48))
    same = [w.render(scenes, [0], frames=8, fps=1.875, height=40, width=64) for w in (EmojiWorld(full), lean)]
    assert torch.equal(*same)


def test_sampled_scenes_keep_to_their_split_and_words() -> None:
    names = ("turtle", "horse")
    small = EmojiWorld(SpriteStore.synthetic(names), places=("sky", "space"), motions=("left", "up"), max_count=2)
    scenes = [small.sample_scene(seed) for seed in range(200)]
    assert scenes == [small.sample_scene(seed) for seed in range(200)]
    assert {scene.object for scene in scenes} == set(names) and {scene.count for scene in scenes} == {1, 2}
    assert {scene.place for scene in scenes} == {"sky", "space"} and {scene.motion for scene in scenes} == {
        "left",
        "up",
    }
    assert not any(is_held_out(scene) for scene in scenes)
    everything = EmojiWorld(SpriteStore.synthetic(names))
    held_out = [everything.sample_scene(seed, split="held-out") for seed in range(50)]
    assert all(is_held_out(scene) for scene in held_out) and len(set(held_out)) > 20


def test_mistakes_are_explained(world: EmojiWorld) -> None:
    scene = Scene(object="turtle", place="sky", motion="up")
    with pytest.raises(DataError, match="one seed for each scene"):
        world.render([scene], [1, 2])
    with pytest.raises(DataError, match="does not lie in a picture"):
        world.render([scene], [1], crop=(0, 500, 64, 100))
    with pytest.raises(DataError, match="Did you mean horse"):
        EmojiWorld(world.sprites, objects=("hors",))
    with pytest.raises(DataError, match="no sprite 'cat'"):
        world.render([Scene(object="cat", place="sky", motion="up")], [1])
    with pytest.raises(DataError, match="times must be"):
        world.render([scene], [1], times=torch.zeros(2, 3))


def test_objects_are_told_from_their_background(world: EmojiWorld) -> None:
    scenes = [Scene(object="car", place=place, motion="left") for place in ("desert", "space")]
    clips = world.render(scenes, [1, 2], frames=3, fps=0.5, height=40, width=64)
    mask = world.objects_in(clips, world.backgrounds(scenes, [1, 2], height=40, width=64))
    assert mask.shape == (2, 1, 3, 40, 64) and set(mask.unique().tolist()) == {0.0, 1.0}
    assert 0.005 < float(mask.mean()) < 0.3
    moved = mask[:, 0, 0] != mask[:, 0, 2]
    assert moved.any(dim=(1, 2)).all(), "the mask goes with the object"
    assert ((clips[:, :, 0] - clips[:, :, 2]).abs().amax(dim=1) > 0.05).logical_and(~(mask.amax(dim=(1, 2)) > 0)).sum() == 0
