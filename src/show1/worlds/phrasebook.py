"""Sentences as people write them: a scene told by the phrases of a book, a JSON file of nouns, adjectives, places, verbs and turns.

Its parts, all in lower case:

- `objects`: name -> pairs of singular and plural; `describing`: name, or `any`, -> adjectives;
- `places`: name -> `day` and `night`, each adverbials; `night`: adverbials that say it of any place;
- `motions`: name -> `phrases` that begin with a base verb, `adjectives`, and `fronted` clauses around {who};
- `verbs`: base verb -> third person singular and participle;
- `counts`: "1", "2", ... -> phrases around {one} and {many}, the object's names with adjectives; `sizes`: `small` and `large` -> adjectives;
- `openings`, `closings`, `adverbs`: what may be said of any scene.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from show1.errors import DataError
from show1.worlds.chance import hash_words
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import OBJECT_TABLE, PLACE_TABLE

PARTS = ("objects", "describing", "places", "night", "verbs", "motions", "counts", "sizes", "openings", "closings", "adverbs")
MOTION_PARTS, PLACE_PARTS = ("phrases", "adjectives", "fronted"), ("day", "night")
ANY = "any"
"""Key of the adjectives that suit every object."""

_ORDERS = (
    "{who} {does} {where}",
    "{who} {does} {where}",
    "{who} {doing} {where}",
    "{who} {where} {doing}",
    "{where}, {who} {does}",
    "{where} {who} {does}",
    "{where}, {who}, {doing}",
    "{doing} {where}, {who}",
    "{doing}: {who} {where}",
    "{who} that {does} {where}",
    "{opening} {who} {doing} {where}",
    "{opening} {who} {doing} {where}",
    "{opening} {who} {where}, {doing}",
    "{opening} {where}, {who} {doing}",
    "{fronted} {where}",
    "{where}, {fronted}",
    "{told} {where}",
    "{opening} {told} {where}",
    "{where}, {told}",
)
_TOKENS = re.compile(r"\w+|[^\w\s]")
_TRIES = 10
_SHARE_DESCRIBED = 0.35
_SHARE_WITH_ADVERB = 0.2
_SHARE_CLOSED = 0.2
_SHARE_WITHOUT_ARTICLES = 0.15
_SHARE_SIZED_AFTER = 0.5


class Phrasebook:
    """Phrases of everything a scene says, and sentences made of them."""

    def __init__(self, phrases: dict[str, Any], source: str = "the phrasebook") -> None:
        """`phrases`: as `load` reads them.

        Raises:
            DataError: a part is missing, or a motion's phrase begins with a verb whose forms are not told.
        """
        self.phrases, self.source = phrases, source
        self._check_parts(phrases, PARTS, "")
        for name, words in phrases["motions"].items():
            self._check_parts(words, MOTION_PARTS, f" for the motion '{name}'")
            for phrase in words["phrases"]:
                if phrase.split()[0] not in phrases["verbs"]:
                    raise DataError(f"{source}: '{phrase}' of the motion '{name}' begins with a verb that is not among its verbs")
        for name, words in phrases["places"].items():
            self._check_parts(words, PLACE_PARTS, f" for the place '{name}'")

    def _check_parts(self, phrases: Any, parts: Sequence[str], of: str) -> None:
        missing = [part for part in parts if not isinstance(phrases, dict) or part not in phrases]
        if missing:
            raise DataError(f"{self.source} has no {', '.join(missing)}{of}; it needs {', '.join(parts)}")

    def check_tells(self, objects: Sequence[str], places: Sequence[str], motions: Sequence[str], max_count: int) -> None:
        """Raise DataError unless there are phrases for all that a world shows."""
        counts = [str(number) for number in range(1, max_count + 1)]
        for part, shown in {
            "objects": objects,
            "places": places,
            "motions": motions,
            "counts": counts,
            "describing": [*objects, ANY],
        }.items():
            missing = [name for name in shown if name not in self.phrases[part]]
            if missing:
                raise DataError(f"{self.source} does not tell all that is shown: its {part} lack {', '.join(missing)}")

    @classmethod
    def load(cls, path: Path) -> Phrasebook:
        """From a JSON file.

        Raises:
            DataError: unreadable or incomplete.
        """
        try:
            phrases = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the phrasebook '{path}': {error}") from error
        return cls(phrases, f"the phrasebook '{path}'")

    def sentence(self, scene: Scene, seed: int, longest: int | None = None) -> str:
        """One of very many lower-case sentences that say what the scene shows: a pure function of the arguments.

        Args:
            longest: most words, punctuation marks counted; of ten sentences the first that is as short, else the shortest.
        """
        parts = (scene.object, scene.place, scene.motion, scene.count, scene.size, int(scene.night))
        chance = random.Random(hash_words("sentence", *parts, seed))
        made: list[str] = []
        while not made or (longest is not None and len(_TOKENS.findall(made[-1])) > longest and len(made) < _TRIES):
            text = " ".join(Sentence(self.phrases, scene, chance).text().split())
            made.append(re.sub(r"\ba (?=[aeio])", "an ", text))
        return made[-1] if len(made) < _TRIES else min(made, key=len)

    def texts(self) -> Iterator[str]:
        """Every phrase that sentences are made of; nouns and adjectives have places in some."""
        yield from self.phrases["verbs"]
        yield from _strings(list(self.phrases.values()))
        for place in PLACE_TABLE.values():
            yield from (*place.where, *place.where_at_night)
        for name in self.phrases["objects"]:  # a word that no sentence has would never be learned, and count as known
            yield from (OBJECT_TABLE[name].name, OBJECT_TABLE[name].plural)


class Sentence:
    """One scene in words."""

    def __init__(self, phrases: dict[str, Any], scene: Scene, chance: random.Random) -> None:
        self.phrases, self.scene, self.chance = phrases, scene, chance
        self.motion = phrases["motions"][scene.motion]

    def text(self) -> str:
        """The whole sentence."""
        pick, motion = self.chance.choice, self.motion
        order = pick([order for order in _ORDERS if self._can(order)])
        does, doing = self._verb()
        words = {"does": does, "doing": doing, "where": self._where(), "opening": pick(self.phrases["openings"])}
        if "{told}" in order:
            words["told"] = self._who(pick(motion["adjectives"]))
        elif "{fronted}" in order:
            words["fronted"] = self._fronted(pick(motion["fronted"]))
        text = order.format(who=self._who(""), **words)
        if self.chance.random() < _SHARE_CLOSED:
            text += ", " + pick(self.phrases["closings"])
        if self.chance.random() < _SHARE_WITHOUT_ARTICLES:
            text = " ".join(word for word in text.split() if word not in ("a", "the"))
        return text

    def _can(self, order: str) -> bool:
        return ("{told}" not in order or bool(self.motion["adjectives"])) and ("{fronted}" not in order or bool(self.motion["fronted"]))

    def _verb(self) -> tuple[str, str]:
        """The motion as a verb of third person and as a participle, maybe with a manner."""
        verb, *rest = self.chance.choice(self.motion["phrases"]).split()
        third, participle = self.phrases["verbs"][verb]
        manner = self.chance.choice(self.phrases["adverbs"]) if self.chance.random() < _SHARE_WITH_ADVERB else ""
        first, last = (manner, "") if self.chance.random() < 0.5 else ("", manner)
        finite = third if self.scene.count == 1 else verb
        return tuple(" ".join([first, form, *rest, last]) for form in (finite, participle))  # type: ignore[return-value]

    def _who(self, told: str) -> str:
        """The objects with their adjectives; `told` is one that says the motion."""
        pick, name = self.chance.choice, self.scene.object
        entry = OBJECT_TABLE[name]
        nouns = pick([(entry.name, entry.plural), pick(self.phrases["objects"][name]), pick(self.phrases["objects"][name])])
        adjectives = [told]
        if self.chance.random() < _SHARE_DESCRIBED:
            adjectives.append(pick(pick([self.phrases["describing"][name], self.phrases["describing"][ANY]])))
        if self.scene.size != "medium":
            adjectives.insert(int(self.chance.random() < _SHARE_SIZED_AFTER), pick(self.phrases["sizes"][self.scene.size]))
        one, many = (" ".join([*adjectives, noun]) for noun in nouns)
        return str(pick(self.phrases["counts"][str(self.scene.count)])).format(one=one, many=many)

    def _fronted(self, clause: str) -> str:
        """A clause around the objects, its verb in the plural where they are."""
        if self.scene.count > 1:
            base = {forms[0]: verb for verb, forms in self.phrases["verbs"].items()}
            clause = " ".join(base.get(word, word) for word in clause.split())
        return clause.format(who=self._who(""))

    def _where(self) -> str:
        """The place, by night where it is."""
        pick, scene = self.chance.choice, self.scene
        phrases = self.phrases["places"][scene.place]
        if scene.night and phrases["night"] and self.chance.random() < 0.5:
            return str(pick(phrases["night"]))
        where = pick([pick(PLACE_TABLE[scene.place].where), pick(phrases["day"]), pick(phrases["day"])])
        if not scene.night:
            return str(where)
        night = pick(self.phrases["night"])
        return f"{night} {where}" if self.chance.random() < 0.3 else f"{where} {night}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield re.sub(r"{\w+}", "", value)
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
