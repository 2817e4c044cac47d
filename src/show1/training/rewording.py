"""Training of T5 on sentences as people write them: their embeddings become what its own captions' are to whatever reads them.

Networks read a text through attention, which does not care for the order of its tokens. So the embeddings of a sentence are compared with
those of the plainest caption of the same scene as sets, and nothing but the text encoder is run: some 800,000 sentences an hour on two cores.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from show1.errors import SettingsError
from show1.text import clean_captions, encode_t5
from show1.training.chance import Chance
from show1.training.clips import EmojiClips
from show1.training.config import DataConfig
from show1.training.synonyms import NEUTRAL, read_synonyms, widen
from show1.training.text_task import TextTask
from show1.worlds.captions import plain_caption
from show1.worlds.chance import hash_words
from show1.worlds.emoji import EmojiWorld
from show1.worlds.phrasebook import Phrasebook

DIRECTIONS = 256
"""Random directions that two sets of embeddings are compared along in a step."""
SHARE_REPLACED = 0.15
"""How often a word that has synonyms is replaced by one."""


def distances(made: Tensor, wanted: Tensor, directions: Tensor) -> Tensor:
    """Sliced squared Wasserstein distance [B] of two sets of embeddings [B, L, D] (Rabin et al. 2011, Bonneel et al. 2015), along columns of [D, K]."""
    first, second = ((embeddings @ directions).sort(dim=1).values for embeddings in (made, wanted))
    return (first - second).square().mean(dim=(1, 2)) * made.shape[-1]


class Rewording(TextTask):
    """Sentences of a phrasebook are to be read as plain captions, and captions as they ever were."""

    def prepare(self, data: DataConfig, world: EmojiWorld, folder: Path) -> None:
        """Give the tokenizer the words of the phrasebook and the synonyms.

        Raises:
            SettingsError: no phrasebook is named.
            DataError: it cannot be read, or does not tell all that the world shows.
        """
        if data.phrasebook is None:
            raise SettingsError("this stage trains on a phrasebook's sentences: name its file as `phrasebook` in [data]")
        self.book = Phrasebook.load(Path(data.phrasebook))
        self.book.check_tells(world.objects, world.places, world.motions, world.max_count)
        synonyms = {} if data.synonyms is None else read_synonyms(Path(data.synonyms))
        self.others: dict[str, list[str]] = defaultdict(list)
        for word, meant in synonyms.items():
            self.others[meant].append(word)
        words = {word for text in clean_captions(sorted(set(self.book.texts()))) for word in text.replace(",", " ").split()}
        unknown = dict.fromkeys((word for word in words if word not in synonyms), NEUTRAL)
        self.text.tokenizer = widen(self.text.tokenizer, self.text.encoder, {**unknown, **synonyms}, folder / "new_tokenizer")
        self.text.place = folder / "new_tokenizer"

    def embed(self, encoder: nn.Module, captions: list[str]) -> Tensor:
        """Embeddings [B, L, D] of captions that need no cleaning."""
        return encode_t5(self.text.tokenizer, encoder, captions, self.text.length, clean=False)

    def loss(self, chance: Chance) -> Tensor:
        """Squared distance of sentences from plain captions and of captions from what they were, in squared lengths of an average embedding."""
        clips = cast("EmojiClips", self.clips(chance))
        dropped = chance.uniform() < self.config.caption_dropout
        captions = ["" if drop else text for text, drop in zip(clips.captions, dropped, strict=True)]
        sentences = clean_captions([self.sentence(clips, index) for index in range(len(clips.scenes))])
        with torch.no_grad():
            wanted = self.embed(self.before, [*map(plain_caption, clips.scenes), *captions])
        made = self.embed(self.network, [*sentences, *captions])
        (plain, same), (read, kept) = wanted.chunk(2), made.chunk(2)
        directions = normalize(torch.randn(made.shape[-1], DIRECTIONS, generator=chance.shared), dim=0).to(made)
        changed = (kept - same).square().sum(-1).mean()
        return (distances(read, plain, directions).mean() + changed) / self.length**2

    def sentence(self, clips: EmojiClips, index: int) -> str:
        """What a clip shows, in words of the book or their synonyms."""
        seed = clips.seeds[index]
        rare = random.Random(hash_words("synonyms", seed))
        words = self.book.sentence(clips.scenes[index], seed, longest=self.text.length - 1).split()
        return " ".join(rare.choice(self.others[w]) if w in self.others and rare.random() < SHARE_REPLACED else w for w in words)
