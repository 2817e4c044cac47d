"""Captions say what the scene is, in known words, and the held-out split is stable."""

import itertools
from collections import Counter

import pytest

from show1.errors import DataError
from show1.worlds.captions import caption, known_words
from show1.worlds.scenes import Scene, is_held_out
from show1.worlds.vocabulary import MOTIONS, OBJECT_TABLE, OBJECTS, PLACE_TABLE, PLACES, SIZES, VERBS


def _phrasings(scene: Scene, count: int = 60) -> set[str]:
    return {caption(scene, seed) for seed in range(count)}


def test_captions_are_pure_and_varied() -> None:
    scene = Scene(object="turtle", place="desert", motion="left")
    assert caption(scene, 7) == caption(scene, 7)
    assert len(_phrasings(scene)) > 30


def test_captions_name_the_object_in_the_right_number() -> None:
    one = Scene(object="butterfly", place="ocean", motion="up")
    assert all(" butterfly" in f" {text}" for text in _phrasings(one))
    two = Scene(object="butterfly", place="ocean", motion="up", count=2, night=True)
    for text in _phrasings(two):
        assert "butterflies" in text
        assert {"two", "2", "pair", "couple"} & set(text.split())


def test_captions_mention_size_night_and_direction() -> None:
    scene = Scene(object="car", place="city", motion="right", size="large", night=True)
    bare_verbs = {"drives", "driving"}
    for text in _phrasings(scene):
        words = set(text.replace(",", "").split())
        assert words & set(SIZES["large"])
        assert words & {"night", "moonlight"}
        assert "right" in words or words & bare_verbs
    medium = _phrasings(Scene(object="car", place="city", motion="right"))
    assert not any(set(text.split()) & {*SIZES["small"], *SIZES["large"], "night"} for text in medium)


def test_a_bare_verb_means_to_the_right() -> None:
    bare = {phrase for motion in MOTIONS for _, own in motion.by_manner for phrase in own if " " not in phrase}
    owners = {motion.name for motion in MOTIONS for _, own in motion.by_manner if bare & set(own)}
    assert owners == {"right"} and "fly" in bare


def test_articles_suit_the_word_that_follows() -> None:
    for name in ("elephant", "ufo", "owl"):
        for text in _phrasings(Scene(object=name, place="meadow", motion="spin")):
            words = text.replace(",", "").split()
            for article, following in itertools.pairwise(words):
                if article in ("a", "an"):
                    assert (article == "an") == (following in ("elephant", "owl")), text


def test_no_phrase_means_two_things() -> None:
    motions = Counter(p for m in MOTIONS for p in {*m.phrases, *(own for _, ps in m.by_manner for own in ps)})
    places = Counter(phrase for place in PLACES for phrase in {*place.where, *place.where_at_night})
    names = Counter(name for entry in OBJECTS for name in {entry.name, *(pair[0] for pair in entry.others)})
    for counted in (motions, places, names, Counter(entry.code for entry in OBJECTS)):
        assert max(counted.values()) == 1


def test_phrases_begin_with_known_verbs_and_every_scene_can_be_said() -> None:
    words = known_words()
    for index, (thing, place, motion) in enumerate(itertools.product(OBJECTS, PLACES, MOTIONS)):
        scene = Scene(
            object=thing.name,
            place=place.name,
            motion=motion.name,
            count=index % 3 + 1,
            size=("small", "medium", "large")[index // 3 % 3],
            night=place.has_night and index % 2 == 1,
        )
        text = caption(scene, index)
        assert text == text.lower()
        assert set(text.replace(",", "").split()) <= words
    assert {"turtle", "tortoises", "diagonally", "night", "spinning", "an"} <= words
    assert all(phrase.split()[0] in VERBS for motion in MOTIONS for phrase in motion.phrases)


def test_the_held_out_split_never_changes() -> None:
    expected = {
        ("taxi", "forest", "up-right"): True,
        ("apple", "ocean", "right"): True,
        ("cat", "mountains", "stay"): True,
        ("octopus", "space", "away"): True,
        ("pizza", "snow", "up-right"): False,
        ("watermelon", "desert", "bounce"): False,
        ("bus", "ocean", "up-right"): False,
        ("turtle", "desert", "left"): False,
        ("rocket", "ocean", "right"): False,
        ("butterfly", "ocean", "up"): False,
    }
    for (thing, place, motion), held_out in expected.items():
        assert is_held_out(Scene(object=thing, place=place, motion=motion)) is held_out
    scenes = [Scene(object=t, place=p, motion=m.name) for t in OBJECT_TABLE for p in PLACE_TABLE for m in MOTIONS]
    share = sum(map(is_held_out, scenes)) / len(scenes)
    assert 0.09 < share < 0.11


def test_only_object_place_and_motion_decide_what_is_held_out() -> None:
    for seed, motion in enumerate(MOTIONS):
        plain = Scene(object="dog", place="beach", motion=motion.name)
        other = Scene(object="dog", place="beach", motion=motion.name, count=3, size="small", night=bool(seed % 2))
        assert is_held_out(plain) == is_held_out(other)


def test_unknown_words_are_explained() -> None:
    with pytest.raises(DataError, match="Did you mean turtle"):
        Scene(object="turtel", place="desert", motion="left")
    with pytest.raises(DataError, match=r"Known: .*ocean"):
        Scene(object="turtle", place="kitchen", motion="left")
    with pytest.raises(DataError, match="1 to 3"):
        Scene(object="turtle", place="desert", motion="left", count=4)
    with pytest.raises(DataError, match="no night"):
        Scene(object="turtle", place="space", motion="left", night=True)
