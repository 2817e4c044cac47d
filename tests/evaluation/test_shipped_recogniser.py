"""The recogniser that comes with the package: it knows what the bundled model draws, and its record says how well it reads."""

import pytest

from show1.cascade.folder import BUNDLED as MODEL
from show1.evaluation.reference import BUNDLED, Reference, load_recogniser
from show1.models.reading import read_json

LEAST = {"object": 0.99, "place": 0.99, "motion": 0.98, "count": 0.97}
"""Shares of rendered 576x320 clips that must be read right."""


def test_it_knows_what_the_bundled_model_draws() -> None:
    labels, drawn = load_recogniser().labels, read_json(MODEL / "model_index.json")["vocabulary"]
    for name, kind in {"object": "objects", "motion": "motions", "count": "counts"}.items():
        assert set(drawn[kind]) <= set(labels[name])


@pytest.mark.parametrize("attribute", list(LEAST))
def test_its_record_meets_what_is_asked_of_it(attribute: str) -> None:
    record = Reference.load(BUNDLED)
    assert record.samples >= 500
    assert record.right["latent"][attribute] / record.samples >= LEAST[attribute]
