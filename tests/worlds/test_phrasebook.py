"""Sentences of a phrasebook say what the scene shows."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from show1.errors import DataError
from show1.evaluation.prompts import WRITTEN
from show1.text import clean_captions
from show1.worlds.captions import caption, plain_caption
from show1.worlds.phrasebook import Phrasebook
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import MOTION_TABLE, PLACE_TABLE

BUNDLED = Path(__file__).parents[2] / "configs" / "bundled" / "phrasebook.json"
SMALL: dict[str, Any] = {
    "objects": {"turtle": [["shell-carrier", "shell-carriers"]]},
    "describing": {"turtle": ["green"], "any": ["nice"]},
    "places": {"forest": {"day": ["under oaks"], "night": ["under nightly oaks"]}},
    "night": ["after dark"],
    "verbs": {"creep": ["creeps", "creeping"], "go": ["goes", "going"]},
    "motions": {"left": {"phrases": ["creep leftward"], "adjectives": ["left-bound"], "fronted": ["leftward goes {who}"]}},
    "counts": {"1": ["a {one}"], "2": ["a {one} and another {one}", "two {many}"]},
    "sizes": {"small": ["wee"], "large": ["giant"]},
    "openings": ["we see"],
    "closings": ["in ink"],
    "adverbs": ["softly"],
}
OAKS = Scene(object="turtle", place="forest", motion="left", count=2, size="small", night=True)


@pytest.fixture
def book() -> Phrasebook:
    return Phrasebook(SMALL)


def test_a_sentence_says_all_that_the_scene_shows(book: Phrasebook) -> None:
    told = [
        {"turtles", "shell-carriers", "turtle", "shell-carrier"},
        {"leftward", "left-bound"},
        {"wee"},
        {"two", "another"},
        {"dark", "nightly"},
    ]
    made = {book.sentence(OAKS, seed) for seed in range(300)}
    assert len(made) > 150
    for text in made:
        words = set(text.replace(",", " ").split())
        assert all(words & one_of for one_of in told), text
        assert not words & {"creeps", "goes", "1", "giant", "{who}"}, text
    assert any("in ink" in text for text in made) and any("we see" in text for text in made) and any("go two" in text for text in made)


def test_it_is_a_function_of_scene_and_seed(book: Phrasebook) -> None:
    assert book.sentence(OAKS, 3) == Phrasebook(copy.deepcopy(SMALL)).sentence(OAKS, 3)


def test_an_article_suits_its_noun(book: Phrasebook) -> None:
    eagle = {**SMALL, "objects": {"turtle": [["old one", "old ones"]]}}
    made = [Phrasebook(eagle).sentence(Scene(object="turtle", place="forest", motion="left"), seed) for seed in range(200)]
    assert any("an old one" in text for text in made) and not any("a old one" in text for text in made)


def test_long_sentences_are_made_anew(book: Phrasebook) -> None:
    def length(text: str) -> int:
        return len(text.replace(",", " ,").replace("-", " - ").split())

    long = [seed for seed in range(200) if length(book.sentence(OAKS, seed)) > 16]
    assert long
    assert all(length(book.sentence(OAKS, seed, longest=16)) <= 16 for seed in long)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"night": None}, "has no night"),
        ({"verbs": {}}, "'creep leftward' of the motion 'left'"),
        ({"motions": {"left": {"phrases": []}}}, "no adjectives, fronted for the motion 'left'"),
        ({"places": {"forest": ["under oaks"]}}, "no day, night for the place 'forest'"),
    ],
)
def test_an_incomplete_book_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    phrases = {key: value for key, value in {**SMALL, **change}.items() if value is not None}
    (tmp_path / "book.json").write_text(json.dumps(phrases))
    with pytest.raises(DataError, match=complaint):
        Phrasebook.load(tmp_path / "book.json")


def test_what_a_book_does_not_tell_is_named(book: Phrasebook) -> None:
    book.check_tells(["turtle"], ["forest"], ["left"], 2)
    with pytest.raises(DataError, match="motions lack up, down"):
        book.check_tells(["turtle"], ["forest"], ["left", "up", "down"], 2)
    with pytest.raises(DataError, match="counts lack 3"):
        book.check_tells(["turtle"], ["forest"], ["left"], 3)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.json").write_text("{")
    with pytest.raises(DataError, match="cannot read the phrasebook"):
        Phrasebook.load(tmp_path / "book.json")


def test_the_plain_caption_says_everything() -> None:
    assert plain_caption(OAKS) == "two small turtles move left in the forest at night"
    assert plain_caption(Scene(object="whale", place="sky", motion="up")) == "a whale rises in the sky"
    assert plain_caption(OAKS) in {caption(OAKS, seed) for seed in range(5000)}


def test_the_bundled_book_knows_the_world_and_none_of_the_prompts_that_measure_it() -> None:
    book = Phrasebook.load(BUNDLED)
    assert set(book.phrases["places"]) == set(PLACE_TABLE) and set(book.phrases["motions"]) == set(MOTION_TABLE)
    objects = list(book.phrases["objects"])
    assert not {"panda", "pizza", "robots"} & {word for text in book.texts() for word in text.split()}, (
        "objects of the world that it does not tell"
    )
    scenes = [
        Scene(object=objects[i % len(objects)], place=place, motion=motion, count=1 + i % 2)
        for i, (place, motion) in enumerate((place, motion) for place in PLACE_TABLE for motion in MOTION_TABLE)
    ]
    lines = [line for path in WRITTEN.values() for line in path.read_text().splitlines()]
    prompts = set(clean_captions([json.loads(line)["prompt"] for line in lines]))
    made = set(clean_captions([book.sentence(scene, i) for i, scene in enumerate(scenes)]))
    assert len(made) == len(scenes) and not made & prompts
