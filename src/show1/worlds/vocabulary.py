"""The words of the emoji world: objects, places, motions, counts and sizes, one line an entry.

The tables are the whole truth about what a caption may say; `captions` puts the words together, `backgrounds`
draws the places and `motions` moves the objects. Adding a line here never changes which combinations are held out.
"""

from dataclasses import dataclass
from typing import Literal

Facing = Literal["left", "right", "front"]
Manner = Literal["walks", "flies", "swims", "drives", "slides", "floats"]


@dataclass(frozen=True)
class ThingWords:
    """An object: its words, its sprite (Unicode code points in hex), and how the sprite looks and moves."""

    name: str
    plural: str
    code: str
    manner: Manner  # which verbs suit it besides "moves" and "goes"
    faces: Facing = "left"  # which way the sprite looks as it was drawn
    others: tuple[tuple[str, str], ...] = ()  # synonyms, each (singular, plural)
    frames: int = 34  # of the animation (24 a second) that are used, from its first, played to and fro
    speed: float = 0.25  # of the sprite's own animation: slow enough to interpolate frames half a second apart
    heading: float | None = None  # degrees (0 right, 90 up) it points; such a sprite turns to where it goes


@dataclass(frozen=True)
class PlaceWords:
    """A place: how captions say where, by day and (if it has nights) by night, and whether there is ground."""

    name: str
    where: tuple[str, ...]
    where_at_night: tuple[str, ...] = ()  # besides `where` with a night word such as "at night"
    has_night: bool = True
    has_ground: bool = True


@dataclass(frozen=True)
class MotionWords:
    """A motion: phrases that begin with a verb of `VERBS`, for anything and for objects of some manner."""

    name: str
    phrases: tuple[str, ...]
    by_manner: tuple[tuple[Manner, tuple[str, ...]], ...] = ()


OBJECTS: tuple[ThingWords, ...] = (
    # animals
    ThingWords("turtle", "turtles", "1f422", "walks", others=(("tortoise", "tortoises"),), frames=24),
    ThingWords("horse", "horses", "1f40e", "walks", others=(("pony", "ponies"),)),
    ThingWords("dog", "dogs", "1f415", "walks", others=(("puppy", "puppies"),)),
    ThingWords("cat", "cats", "1f408", "walks", others=(("kitten", "kittens"),)),
    ThingWords("rabbit", "rabbits", "1f407", "walks", others=(("bunny", "bunnies"),)),
    ThingWords("elephant", "elephants", "1f418", "walks"),
    ThingWords("cow", "cows", "1f404", "walks"),
    ThingWords("pig", "pigs", "1f416", "walks", others=(("piglet", "piglets"),)),
    ThingWords("sheep", "sheep", "1f411", "walks", others=(("lamb", "lambs"),)),
    ThingWords("zebra", "zebras", "1f993", "walks"),
    ThingWords("tiger", "tigers", "1f405", "walks"),
    ThingWords("camel", "camels", "1f42a", "walks"),
    ThingWords("dinosaur", "dinosaurs", "1f996", "walks", others=(("dino", "dinos"),)),
    ThingWords("dragon", "dragons", "1f409", "flies"),
    ThingWords("snail", "snails", "1f40c", "walks"),
    ThingWords("crab", "crabs", "1f980", "walks", faces="front"),
    ThingWords("frog", "frogs", "1f438", "walks", faces="front", others=(("toad", "toads"),)),
    ThingWords("penguin", "penguins", "1f427", "walks", faces="front"),
    ThingWords("panda", "pandas", "1f43c", "walks", faces="front"),
    ThingWords("fox", "foxes", "1f98a", "walks", faces="front"),
    ThingWords("duck", "ducks", "1f986", "swims", others=(("mallard", "mallards"),)),
    ThingWords("fish", "fish", "1f41f", "swims", others=(("blue fish", "blue fish"),)),
    ThingWords("whale", "whales", "1f433", "swims"),
    ThingWords("octopus", "octopuses", "1f419", "swims", faces="front"),
    ThingWords("owl", "owls", "1f989", "flies", faces="front"),
    ThingWords("eagle", "eagles", "1f985", "flies", others=(("hawk", "hawks"),)),
    ThingWords("flamingo", "flamingos", "1f9a9", "walks"),
    ThingWords("parrot", "parrots", "1f99c", "flies"),
    ThingWords("bee", "bees", "1f41d", "flies", others=(("bumblebee", "bumblebees"),), speed=0.08),
    ThingWords("butterfly", "butterflies", "1f98b", "flies", faces="front", frames=11),
    ThingWords("ladybug", "ladybugs", "1f41e", "walks", faces="front", others=(("ladybird", "ladybirds"),)),
    # vehicles
    ThingWords("rocket", "rockets", "1f680", "flies", "right", (("spaceship", "spaceships"),), heading=45.0),
    ThingWords("airplane", "airplanes", "2708-fe0f", "flies", "right", (("plane", "planes"),), heading=45.0),
    ThingWords("helicopter", "helicopters", "1f681", "flies", others=(("chopper", "choppers"),), speed=0.12),
    ThingWords("ufo", "ufos", "1f6f8", "flies", faces="front", others=(("flying saucer", "flying saucers"),)),
    ThingWords("car", "cars", "1f697", "drives", others=(("red car", "red cars"),)),
    ThingWords("taxi", "taxis", "1f695", "drives", others=(("cab", "cabs"), ("yellow car", "yellow cars"))),
    ThingWords("bus", "buses", "1f68c", "drives"),
    ThingWords("fire truck", "fire trucks", "1f692", "drives", others=(("fire engine", "fire engines"),)),
    ThingWords("tractor", "tractors", "1f69c", "drives"),
    ThingWords("train", "trains", "1f682", "drives", others=(("locomotive", "locomotives"),)),
    ThingWords("motorcycle", "motorcycles", "1f3cd-fe0f", "drives", others=(("motorbike", "motorbikes"),)),
    # food
    ThingWords("apple", "apples", "1f34e", "slides", faces="front", others=(("red apple", "red apples"),)),
    ThingWords("banana", "bananas", "1f34c", "slides", faces="front"),
    ThingWords("watermelon", "watermelons", "1f349", "slides", faces="front"),
    ThingWords("carrot", "carrots", "1f955", "slides", faces="front"),
    ThingWords("pizza", "pizzas", "1f355", "slides", faces="front"),
    ThingWords("burger", "burgers", "1f354", "slides", faces="front", others=(("hamburger", "hamburgers"),)),
    ThingWords("donut", "donuts", "1f369", "slides", faces="front", others=(("doughnut", "doughnuts"),)),
    ThingWords("cake", "cakes", "1f382", "slides", faces="front", others=(("birthday cake", "birthday cakes"),)),
    # things
    ThingWords("ball", "balls", "26bd", "slides", faces="front", others=(("soccer ball", "soccer balls"),)),
    ThingWords("balloon", "balloons", "1f388", "floats", faces="front", others=(("red balloon", "red balloons"),)),
    ThingWords("gift", "gifts", "1f381", "slides", faces="front", others=(("present", "presents"),)),
    ThingWords("heart", "hearts", "2764-fe0f", "floats", faces="front"),
    ThingWords("star", "stars", "2b50", "floats", faces="front", frames=20),
    ThingWords("guitar", "guitars", "1f3b8", "slides", faces="front"),
    ThingWords("sunflower", "sunflowers", "1f33b", "slides", faces="front"),
    ThingWords("cactus", "cactuses", "1f335", "slides", faces="front"),
    ThingWords("snowman", "snowmen", "26c4", "slides", faces="front"),
    ThingWords("pumpkin", "pumpkins", "1f383", "slides", faces="front"),
    ThingWords("ghost", "ghosts", "1f47b", "floats", faces="front"),
    ThingWords("robot", "robots", "1f916", "walks", faces="front"),
)

PLACES: tuple[PlaceWords, ...] = (
    PlaceWords(
        "sky",
        ("in the sky", "across the sky", "through the sky", "among the clouds"),
        ("in the night sky", "across the night sky", "through the night sky", "in the dark sky"),
        has_ground=False,
    ),
    PlaceWords("ocean", ("over the ocean", "above the ocean", "over the sea", "on the ocean"), has_ground=False),
    PlaceWords("beach", ("on the beach", "at the beach", "along the beach", "on the sandy beach")),
    PlaceWords("desert", ("across the desert", "in the desert", "through the desert", "over the dunes")),
    PlaceWords("meadow", ("in the meadow", "across the meadow", "on the grass", "over the green hills")),
    PlaceWords("forest", ("in the forest", "through the forest", "in the woods", "among the trees")),
    PlaceWords("snow", ("in the snow", "through the snow", "across the snow", "on the snowy hills")),
    PlaceWords("mountains", ("in the mountains", "in front of the mountains", "below the mountain peaks")),
    PlaceWords("city", ("in the city", "through the city", "in the street", "in front of the skyline")),
    PlaceWords(
        "space",
        ("in space", "through space", "in outer space", "among the planets"),
        has_night=False,
        has_ground=False,
    ),
)

NIGHT_WORDS: tuple[str, ...] = ("at night", "by night", "in the moonlight")

# base form -> (third person, plural, participle)
VERBS: dict[str, tuple[str, str, str]] = {
    "move": ("moves", "move", "moving"),
    "go": ("goes", "go", "going"),
    "head": ("heads", "head", "heading"),
    "travel": ("travels", "travel", "traveling"),
    "walk": ("walks", "walk", "walking"),
    "run": ("runs", "run", "running"),
    "fly": ("flies", "fly", "flying"),
    "swim": ("swims", "swim", "swimming"),
    "drive": ("drives", "drive", "driving"),
    "slide": ("slides", "slide", "sliding"),
    "float": ("floats", "float", "floating"),
    "rise": ("rises", "rise", "rising"),
    "climb": ("climbs", "climb", "climbing"),
    "ascend": ("ascends", "ascend", "ascending"),
    "fall": ("falls", "fall", "falling"),
    "sink": ("sinks", "sink", "sinking"),
    "drop": ("drops", "drop", "dropping"),
    "descend": ("descends", "descend", "descending"),
    "come": ("comes", "come", "coming"),
    "approach": ("approaches", "approach", "approaching"),
    "get": ("gets", "get", "getting"),
    "recede": ("recedes", "recede", "receding"),
    "spin": ("spins", "spin", "spinning"),
    "rotate": ("rotates", "rotate", "rotating"),
    "turn": ("turns", "turn", "turning"),
    "bounce": ("bounces", "bounce", "bouncing"),
    "hop": ("hops", "hop", "hopping"),
    "jump": ("jumps", "jump", "jumping"),
    "stay": ("stays", "stay", "staying"),
    "stand": ("stands", "stand", "standing"),
    "rest": ("rests", "rest", "resting"),
    "wait": ("waits", "wait", "waiting"),
}


def _sideways(direction: str) -> tuple[str, ...]:
    common = (f"move {direction}", f"move to the {direction}", f"go {direction}", f"go to the {direction}")
    return (*common, f"head {direction}", f"travel to the {direction}")


def _by_manner(*ways: str) -> tuple[tuple[Manner, tuple[str, ...]], ...]:
    """For each manner its own verb with each of these ways to go; "" is the bare verb."""
    verbs: tuple[tuple[Manner, tuple[str, ...]], ...] = (
        ("walks", ("walk", "run")),
        ("flies", ("fly",)),
        ("swims", ("swim",)),
        ("drives", ("drive",)),
        ("slides", ("slide",)),
        ("floats", ("float",)),
    )
    return tuple((manner, tuple(f"{verb} {way}".strip() for verb in own for way in ways)) for manner, own in verbs)


# A bare verb ("a rocket flies over the ocean") means to the right: one meaning, so that it can be learnt and checked.
MOTIONS: tuple[MotionWords, ...] = (
    MotionWords("left", _sideways("left"), _by_manner("left", "to the left")),
    MotionWords("right", _sideways("right"), _by_manner("right", "to the right", "")),
    MotionWords(
        "up",
        ("rise", "move up", "go up", "climb", "ascend", "float up", "move upward"),
        (("flies", ("fly up", "fly upward")), ("swims", ("swim up",))),
    ),
    MotionWords(
        "down",
        ("fall", "move down", "go down", "sink", "descend", "drop", "come down", "move downward"),
        (("flies", ("fly down", "fly downward")), ("swims", ("swim down",)), ("floats", ("float down",))),
    ),
    MotionWords(
        "up-right",
        ("move diagonally", "go diagonally up", "rise diagonally", "climb to the right", "move up and to the right"),
        (("flies", ("fly diagonally", "fly up and to the right")), ("swims", ("swim diagonally",))),
    ),
    MotionWords("closer", ("come closer", "approach", "get closer", "move closer", "come near", "move toward us")),
    MotionWords("away", ("go away", "move away", "recede", "get farther away", "move into the distance")),
    MotionWords("spin", ("spin", "spin around", "rotate", "turn around", "turn in circles")),
    MotionWords("bounce", ("bounce", "bounce up and down", "hop", "hop up and down", "jump up and down")),
    MotionWords("stay", ("stay still", "stay in place", "stand still", "rest", "wait")),
)

COUNTS: dict[int, tuple[str, ...]] = {
    1: ("a", "a", "a", "one", "the"),  # "a" becomes "an" where it must; repeated entries are likelier
    2: ("two", "two", "two", "a pair of", "a couple of", "2"),
    3: ("three", "three", "three", "3", "a group of three"),
}

SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "small", "tiny", "little"),
    "medium": ("",),  # goes without saying
    "large": ("large", "big", "big", "huge"),
}

OBJECT_TABLE: dict[str, ThingWords] = {entry.name: entry for entry in OBJECTS}
PLACE_TABLE: dict[str, PlaceWords] = {entry.name: entry for entry in PLACES}
MOTION_TABLE: dict[str, MotionWords] = {entry.name: entry for entry in MOTIONS}
