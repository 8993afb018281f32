"""Which training rows an epoch visits, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.data.examples import order
from trainer.spec.weighting import BalancedSampling

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.data.examples import Examples
    from trainer.spec.training import Training

DRAWN = 7
"""Keeps the draws of balanced rows apart from the job's other draws."""


class Sampler:
    """Gives the rows of every epoch; they follow from the seed and the epoch alone."""

    def __init__(self, recipe: Training, train: Examples) -> None:
        self._seed, self._rows = recipe.seed, len(train)
        self._device = train.targets.device
        self._classes: _Classes | None = None
        if isinstance(recipe.sampling, BalancedSampling):
            self._classes = _Classes(train.targets)

    def order(self, epoch: int) -> Tensor:
        """Return the rows of an epoch, as many as there are training rows."""
        if self._classes is None:
            return order(self._seed, epoch, self._rows, self._device)
        return self._classes.drawn(self._seed, epoch).to(self._device)


class _Classes:
    """The training rows by class, on the CPU."""

    def __init__(self, targets: Tensor) -> None:
        labels = targets.cpu()
        self.rows = labels.argsort(stable=True)
        counts = labels.bincount()
        self.counts = counts[counts > 0]  # of the classes that have rows
        self.starts = self.counts.cumsum(0) - self.counts

    def drawn(self, seed: int, epoch: int) -> Tensor:
        """Draw rows with replacement: a class first, then one of its rows."""
        words = np.random.SeedSequence([seed, epoch, DRAWN])
        state = int(words.generate_state(1, np.uint64)[0] >> np.uint64(1))
        generator = torch.Generator().manual_seed(state)
        count = len(self.rows)
        chosen = torch.randint(len(self.counts), (count,), generator=generator)
        part = torch.rand(count, generator=generator, dtype=torch.float64)
        place = (part * self.counts[chosen]).long()
        return self.rows[self.starts[chosen] + place]
