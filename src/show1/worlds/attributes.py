"""What a scene shows, as attributes with values: what a recogniser reads, and what a model is measured on."""

from collections.abc import Sequence

from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import PLACE_TABLE, SIZES

ATTRIBUTES = ("object", "place", "motion", "count", "size")
NIGHT = " at night"


def attributes(scene: Scene) -> dict[str, str]:
    """Attribute -> value; a place by night is another value than the place by day."""
    place = scene.place + (NIGHT if scene.night else "")
    return {"object": scene.object, "place": place, "motion": scene.motion, "count": str(scene.count), "size": scene.size}


def world_labels(objects: Sequence[str], places: Sequence[str], motions: Sequence[str], max_count: int) -> dict[str, list[str]]:
    """All values that each attribute can have in a world."""
    nights = [place + NIGHT for place in places if PLACE_TABLE[place].has_night]
    counts = [str(number) for number in range(1, max_count + 1)]
    return {"object": list(objects), "place": [*places, *nights], "motion": list(motions), "count": counts, "size": list(SIZES)}
