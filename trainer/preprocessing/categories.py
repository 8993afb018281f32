"""Categories as names: the number under which a layer looks a vector up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from trainer.spec.base import Spec
from trainer.spec.data.encodings import RESERVED
from trainer.spec.data.layout import Category

if TYPE_CHECKING:
    from trainer.preprocessing.encodings import Array
    from trainer.spec.data.encodings import Embedding
    from trainer.spec.data.schema import Column

UNKNOWN, MISSING = 0, 1
"""The numbers of what is no category."""


class CategoryNumber(Spec):
    """One feature: 0 for an unknown category, 1 for a missing one, then the others.

    A category that no training row has is unknown too: its vector was never trained.
    """

    kind: Literal["category_number"] = "category_number"
    column: str
    categories: tuple[str, ...]
    """What the numbers from 2 on stand for, in order."""
    unseen: tuple[int, ...] = ()
    """Positions of the categories that no training row has."""
    dimension: int
    """Numbers of the vector that is learned for each."""

    @property
    def width(self) -> int:
        """Return the number of features: one."""
        return 1

    @property
    def part(self) -> Category:
        """Return what the feature is to a layer."""
        return Category(
            column=self.column,
            vocabulary_size=len(self.categories) + RESERVED,
            dimension=self.dimension,
        )

    @classmethod
    def fit(cls, column: Column, stored: Array, embedding: Embedding) -> CategoryNumber:
        """Note which categories the rows have."""
        counts = np.bincount(stored[stored >= 0], minlength=len(column.categories))
        assert embedding.dimension is not None
        return cls(
            column=column.name,
            categories=column.categories,
            unseen=tuple(np.flatnonzero(counts == 0).tolist()),
            dimension=embedding.dimension,
        )

    def write(self, stored: Array, features: Array) -> None:
        """Write the numbers of categories into (rows, 1) `features`.

        In `stored`, -1 is a missing value and a code that is no category is unknown.
        """
        count = len(self.categories)
        numbers = np.arange(RESERVED, count + RESERVED)
        numbers[list(self.unseen)] = UNKNOWN
        table = np.concatenate([numbers, [UNKNOWN, MISSING]])  # -1 is the last
        features[:, 0] = table[np.clip(stored, -1, count)]
