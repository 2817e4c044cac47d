"""What models are asked for."""

from pathlib import Path

import pytest

from show1.errors import DataError
from show1.evaluation.prompts import WRITTEN, file_prompts, world_prompts
from show1.worlds.attributes import attributes, world_labels
from show1.worlds.scenes import is_held_out
from show1.worlds.vocabulary import MOTION_TABLE, OBJECT_TABLE, PLACE_TABLE

LABELS = world_labels(["turtle", "rocket", "car"], list(PLACE_TABLE), list(MOTION_TABLE), 2)


@pytest.mark.parametrize("group", ["held-out", "seen"])
def test_prompts_are_of_their_split_and_say_what_is_wanted(group: str) -> None:
    asked = world_prompts(LABELS, group, 60, seed=3)
    assert len({one.id for one in asked}) == 60
    for one in asked:
        assert one.scene is not None and is_held_out(one.scene) == (group == "held-out")
        assert one.wanted == attributes(one.scene)
        assert all(one.wanted[name] in LABELS[name] for name in one.wanted)


def test_the_seed_decides() -> None:
    def texts(seed: int) -> list[str]:
        return [one.prompt for one in world_prompts(LABELS, "held-out", 20, seed)]

    assert texts(1) == texts(1) != texts(2)


def test_a_place_by_night_is_another_value() -> None:
    nights = [place for place in LABELS["place"] if place.endswith(" at night")]
    assert "ocean at night" in nights and not any("space" in place for place in nights)


def test_prompts_from_a_file_are_measured_on_what_they_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a pony trots to the left", "object": "horse", "motion": "left"}\n\n{"prompt": "ein Schiff", "count": 1}\n')
    first, second = file_prompts(path, seed=5)
    assert (first.group, first.wanted) == ("mine", {"object": "horse", "motion": "left"})
    assert (second.prompt, second.wanted, second.scene) == ("ein Schiff", {"count": "1"}, None)
    assert first.seed != second.seed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1.*not JSON"),
        ('{"object": "car"}', "needs a .prompt."),
        ("[1]", "needs a .prompt."),
        ('{"prompt": "a car", "colour": "red"}', "unknown key 'colour'.*object"),
        ("", "no prompts"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        file_prompts(path, seed=0)
    with pytest.raises(DataError, match="cannot read"):
        file_prompts(tmp_path / "nowhere.jsonl", seed=0)


@pytest.mark.parametrize("name", WRITTEN)
def test_written_prompts_ask_for_what_the_world_has(name: str) -> None:
    asked = file_prompts(WRITTEN[name], seed=0)
    labels = world_labels(list(OBJECT_TABLE), list(PLACE_TABLE), list(MOTION_TABLE), 3)
    assert len({one.prompt for one in asked}) == 100
    assert all(value in labels[name] for one in asked for name, value in one.wanted.items())
