"""Makes up scenes."""

import random
from collections.abc import Sequence
from typing import Literal

from show1.errors import DataError
from show1.worlds.chance import hash_words
from show1.worlds.scenes import Scene, is_held_out
from show1.worlds.vocabulary import PLACE_TABLE

_COUNT_WEIGHTS = (0.6, 0.25, 0.15)
_SIZE_WEIGHTS = {"small": 0.22, "medium": 0.5, "large": 0.28}
_NIGHT_SHARE = 0.3
_MOST_TRIES = 10_000  # one in ten is held out, so that only a tiny world without any combination of a split fails


def sample_scene(
    objects: Sequence[str],
    places: Sequence[str],
    motions: Sequence[str],
    max_count: int,
    seed: int,
    split: Literal["train", "held-out"],
) -> Scene:
    """A scene made of these words, a pure function of the arguments."""
    if split not in ("train", "held-out"):
        raise DataError(f"The split is 'train' or 'held-out', not {split!r}.")
    chance = random.Random(hash_words("scene", seed))
    for _ in range(_MOST_TRIES):
        place = chance.choice(places)
        scene = Scene(
            object=chance.choice(objects),
            place=place,
            motion=chance.choice(motions),
            count=chance.choices(range(1, max_count + 1), _COUNT_WEIGHTS[:max_count])[0],
            size=chance.choices(tuple(_SIZE_WEIGHTS), tuple(_SIZE_WEIGHTS.values()))[0],
            night=PLACE_TABLE[place].has_night and chance.random() < _NIGHT_SHARE,
        )
        if is_held_out(scene) == (split == "held-out"):
            return scene
    raise DataError(f"This world has no {split} combination of object, place and motion.")
