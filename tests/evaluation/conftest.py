"""A tiny recogniser with its record, and a world of drawn shapes."""

from pathlib import Path

import pytest

import tiny
from show1.evaluation.reference import load_recogniser, measure_reference
from show1.models.recogniser import Recogniser
from show1.worlds.attributes import world_labels
from show1.worlds.emoji import EmojiWorld
from show1.worlds.sprites import SpriteStore
from show1.worlds.vocabulary import MOTION_TABLE, PLACE_TABLE

OBJECTS = ("turtle", "rocket")


@pytest.fixture(scope="session")
def world() -> EmojiWorld:
    return EmojiWorld(SpriteStore.synthetic(OBJECTS), objects=OBJECTS, max_count=2)


@pytest.fixture(scope="session")
def recogniser_folder(world: EmojiWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained recogniser, saved with what it makes of three rendered clips."""
    folder = tmp_path_factory.mktemp("recogniser")
    labels = world_labels(OBJECTS, list(PLACE_TABLE), list(MOTION_TABLE), 2)
    tiny.named(Recogniser(labels, width=32, feature_width=6)).save_pretrained(folder)
    measure_reference(load_recogniser(folder), world, 3, 0, lambda: None).save(folder)
    return folder
