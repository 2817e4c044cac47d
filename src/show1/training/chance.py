"""What is random in a training step: the same however the step's batch is split over processes and accumulated parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SHARED_STREAM = 1 << 62
"""Added to a seed, so that what a whole batch shares is drawn from other numbers than its first clip's noise."""


class Chance:
    """Random numbers of one part of a step's batch.

    Attributes:
        seeds: one a clip of this part.
        batch_seed: the seed of the batch's first clip.
        shared: a generator that every part of the batch draws alike from: crops, windows, and all that is drawn for the batch as a whole.
        each: one generator a clip, whatever part the clip is in.
    """

    def __init__(self, seeds: Sequence[int], *, first: int = 0, batch: int | None = None, batch_seed: int | None = None) -> None:
        """`first`: where this part begins in a batch of `batch` clips; `batch_seed`: the seed of the batch's first clip."""
        self.seeds = list(seeds)
        self.batch_seed = self.seeds[0] if batch_seed is None else batch_seed
        self.shared = torch.Generator().manual_seed(SHARED_STREAM + self.batch_seed)
        self.each = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        self.first = first
        self.batch = len(self.seeds) if batch is None else batch

    def part(self, whole: Tensor) -> Tensor:
        """This part's rows of what was drawn from `shared` for the whole batch."""
        return whole[self.first : self.first + len(self.seeds)]

    def normal_like(self, sample: Tensor) -> Tensor:
        """Standard normal noise of a tensor's shape, clip by clip."""
        return torch.stack([torch.randn(sample.shape[1:], generator=generator) for generator in self.each]).to(sample)

    def uniform(self, *shape: int) -> Tensor:
        """[B, *shape] in [0, 1), clip by clip."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.each])

    def integers(self, high: int, *shape: int) -> Tensor:
        """[B, *shape] whole numbers below `high`, clip by clip."""
        return torch.stack([torch.randint(high, shape, generator=generator) for generator in self.each])

    def shared_integer(self, high: int) -> int:
        """One whole number below `high` for the whole batch."""
        return int(torch.randint(high, (1,), generator=self.shared))
