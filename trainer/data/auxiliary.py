"""Which rows make the examples of an auxiliary task, and what is asked of them.

Everything here follows from the seed, the epoch and the rows alone, so a job that is
resumed asks what it would have asked. What example number n asks is the same in every
epoch; of pairs, the members are drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.errors import NoRows

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MEMBERS = 11
"""Keeps the draws of pairs apart from the job's other draws."""
FIXED = 0
"""The epoch, before the first, whose pairs are those of rows that are held back."""
PURPOSES = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Pairing:
    """Pairs of the rows of one purpose: a different one, one that is the same, ….

    Shapes:
        groups: (rows,) the class number of each row; None: a row is a class by itself,
        of which two views are the same.
    """

    seed: int
    purpose: str
    rows: int
    count: int
    groups: Numbers | None = None

    def __post_init__(self) -> None:
        """Refuse rows of which no pairs of both kinds can be made.

        Raises: NoRows.
        """
        rows = "1 row is" if self.rows == 1 else f"{self.rows:,} rows are"
        why = ""
        if self.rows < 2 or self.count < 2:  # noqa: PLR2004 - one of either kind
            why = f"{rows} left; at least 2 pairs are needed, of at least 2 rows"
        elif self.groups is not None:
            sizes = np.bincount(self.groups)
            if (sizes > 0).sum() == 1:
                why = f"{rows} left, all of one class, so no pair is different"
            elif sizes.max() == 1:
                why = f"{rows} left, each of another class, so no pair is the same"
        if why:
            raise NoRows(f"{self.purpose} pairs", why)

    @property
    def targets(self) -> Numbers:
        """Return 0 for each pair that is different, 1 for each that is the same."""
        return np.arange(self.count, dtype=np.int64) % 2

    @property
    def entropy(self) -> tuple[int, int]:
        """Return what draws beside those of the members have to be seeded with."""
        return self.seed, PURPOSES[self.purpose]

    def members(self, epoch: int) -> Numbers:
        """Return the pairs of an epoch: (count, 2), positions among the rows.

        Different: one row of all, and one of the rows of other classes. The same: one
        row of a class with at least two, and another one of that class. All are drawn
        evenly, with replacement.
        """
        draw = np.random.default_rng([self.seed, epoch, MEMBERS, *self.entropy[1:]])
        found = np.empty((self.count, 2), np.int64)
        different, same = found[0::2], found[1::2]
        if self.groups is None:
            different[:, 0] = draw.integers(0, self.rows, len(different))
            away = draw.integers(1, self.rows, len(different))
            different[:, 1] = (different[:, 0] + away) % self.rows
            same[:] = draw.integers(0, self.rows, (len(same), 1))
            return found
        order = np.argsort(self.groups, kind="stable")  # rows, class after class
        sizes = np.bincount(self.groups)
        of = self.groups[order]
        size, start = sizes[of], (np.cumsum(sizes) - sizes)[of]
        different[:] = order[_apart(draw, len(different), size, start)]
        same[:] = order[_alike(draw, len(same), size, start)]
        return found


def _apart(draw: np.random.Generator, count: int, size: Any, start: Any) -> Any:
    """Draw pairs of places of different classes: (count, 2)."""
    rows = len(size)
    first = draw.integers(0, rows, count)
    behind = draw.integers(0, rows - size[first])  # among the rows of other classes,
    second = (start[first] + size[first] + behind) % rows  # which begin behind its own
    return np.stack([first, second], axis=1)


def _alike(draw: np.random.Generator, count: int, size: Any, start: Any) -> Any:
    """Draw pairs of two places of one class: (count, 2)."""
    first = draw.choice(np.flatnonzero(size > 1), count)
    along = draw.integers(1, size[first])
    second = start[first] + (first - start[first] + along) % size[first]
    return np.stack([first, second], axis=1)
