"""Captions: one of many phrasings of a scene."""

import random
from collections.abc import Iterator, Sequence

from show1.worlds.chance import hash_words
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import (
    COUNTS,
    MOTION_TABLE,
    MOTIONS,
    NIGHT_WORDS,
    OBJECT_TABLE,
    OBJECTS,
    PLACE_TABLE,
    PLACES,
    SIZES,
    VERBS,
    MotionWords,
    ThingWords,
)

_SOUNDS_LIKE_A_CONSONANT = "ufo"
_SHARE_WITHOUT_ARTICLES = 0.15
_SHARE_WITH_SYNONYM = 0.3
_SHARE_BY_MANNER = 0.35

_PATH_WORDS = ("across ", "through ", "along ")  # would be odd for what does not get anywhere
_MOTIONS_ON_THE_SPOT = ("spin", "bounce", "stay")

_ORDERS = (
    "{who} {does} {where}",
    "{who} {does} {where}",
    "{who} {doing} {where}",
    "{where}, {who} {does}",
    "{where} {who} {does}",
    "{who} {where} {does}",
)


def caption(scene: Scene, seed: int) -> str:
    """One of many lower-case phrasings of the scene: a pure function of the scene and the seed."""
    parts = (scene.object, scene.place, scene.motion, scene.count, scene.size, int(scene.night))
    chance = random.Random(hash_words("caption", *parts, seed))
    verb, *rest = _motion_phrase(scene, chance).split(" ")
    singular, plural, participle = VERBS[verb]
    text = chance.choice(_ORDERS).format(
        who=_who(scene, chance),
        does=" ".join([singular if scene.count == 1 else plural, *rest]),
        doing=" ".join([participle, *rest]),
        where=_where(scene, chance),
    )
    return _without_articles(text) if chance.random() < _SHARE_WITHOUT_ARTICLES else text


def plain_caption(scene: Scene) -> str:
    """The plainest phrasing of the scene, always the same."""
    entry = OBJECT_TABLE[scene.object]
    verb, *rest = MOTION_TABLE[scene.motion].phrases[0].split(" ")
    who = [COUNTS[scene.count][0], SIZES[scene.size][0], entry.name if scene.count == 1 else entry.plural]
    does = [VERBS[verb][0 if scene.count == 1 else 1], *rest]
    return " ".join(word for word in [*who, *does, PLACE_TABLE[scene.place].where[0], NIGHT_WORDS[0] if scene.night else ""] if word)


def known_words() -> frozenset[str]:
    """All words that captions are made of."""
    return frozenset(word for text in _all_texts() for word in text.replace(",", " ").split())


def _who(scene: Scene, chance: random.Random) -> str:
    entry = OBJECT_TABLE[scene.object]
    names = (entry.name, entry.plural)
    if entry.others and chance.random() < _SHARE_WITH_SYNONYM:
        names = chance.choice(entry.others)
    noun = names[0] if scene.count == 1 else names[1]
    described = f"{chance.choice(SIZES[scene.size])} {noun}".strip()
    how_many = chance.choice(COUNTS[scene.count])
    if how_many == "a" and described[0] in "aeiou" and not described.startswith(_SOUNDS_LIKE_A_CONSONANT):
        how_many = "an"
    return f"{how_many} {described}"


def _motion_phrase(scene: Scene, chance: random.Random) -> str:
    words = MOTION_TABLE[scene.motion]
    own = _phrases_of_manner(words, OBJECT_TABLE[scene.object])
    return chance.choice(own if own and chance.random() < _SHARE_BY_MANNER else words.phrases)


def _phrases_of_manner(words: MotionWords, entry: ThingWords) -> Sequence[str]:
    return dict(words.by_manner).get(entry.manner, ())


def _where(scene: Scene, chance: random.Random) -> str:
    words = PLACE_TABLE[scene.place]
    if scene.night and words.where_at_night and chance.random() < 0.5:
        return chance.choice(_suitable(words.where_at_night, scene))
    where = chance.choice(_suitable(words.where, scene))
    if not scene.night:
        return where
    night = chance.choice(NIGHT_WORDS)
    return f"{night} {where}" if chance.random() < 0.2 else f"{where} {night}"


def _suitable(phrases: Sequence[str], scene: Scene) -> list[str]:
    on_the_spot = scene.motion in _MOTIONS_ON_THE_SPOT
    return [phrase for phrase in phrases if not (on_the_spot and phrase.startswith(_PATH_WORDS))]


def _without_articles(text: str) -> str:
    return " ".join(word for word in text.split(" ") if word not in ("a", "an", "the"))


def _all_texts() -> Iterator[str]:
    yield from ("a", "an")
    yield from NIGHT_WORDS
    for count_words in COUNTS.values():
        yield from count_words
    for size_words in SIZES.values():
        yield from size_words
    for entry in OBJECTS:
        yield from (entry.name, entry.plural, *(word for pair in entry.others for word in pair))
    for place in PLACES:
        yield from (*place.where, *place.where_at_night)
    for motion in MOTIONS:
        for phrase in (*motion.phrases, *(own for _, phrases in motion.by_manner for own in phrases)):
            verb, *rest = phrase.split(" ")
            yield from (*VERBS[verb], *rest)
