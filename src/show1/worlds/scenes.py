"""What a caption may say, as data, and which combinations training never sees."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from show1.errors import DataError
from show1.worlds.chance import hash_words
from show1.worlds.vocabulary import COUNTS, MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE, SIZES

HELD_OUT_ONE_IN = 10


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The parts of a caption: everything that it may say. Unknown words are a `DataError`."""

    object: str
    place: str
    motion: str
    count: int = 1
    size: str = "medium"
    night: bool = False

    def __post_init__(self) -> None:
        check_word("object", self.object, OBJECT_TABLE)
        check_word("place", self.place, PLACE_TABLE)
        check_word("motion", self.motion, MOTION_TABLE)
        check_word("size", self.size, SIZES)
        if self.count not in COUNTS:
            raise DataError(f"A scene shows {min(COUNTS)} to {max(COUNTS)} objects, not {self.count}.")
        if self.night and not PLACE_TABLE[self.place].has_night:
            raise DataError(f"There is no night in the place {self.place!r}: leave `night` out.")


def check_word(kind: str, word: str, known: Iterable[str]) -> None:
    """Raises a `DataError` that names near matches if the word is not one of the known ones."""
    known = list(known)
    if word in known:
        return
    near = difflib.get_close_matches(word, known, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
    raise DataError(f"The emoji world has no {kind} {word!r}. {hint}")


def is_held_out(scene: Scene) -> bool:
    """Whether the scene's (object, place, motion) is one of the one in ten that nothing may be trained on."""
    return hash_words("held out", scene.object, scene.place, scene.motion) % HELD_OUT_ONE_IN == 0
