"""The rows that sources are tried on: some of those a job would train and choose on.

They are chosen as a job chooses them (parts, split, ``where``, ``examples_per_class``,
by the seed), and of these a bounded number is drawn; only those rows are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.selection import select
from trainer.data.series import with_timeline
from trainer.data.targets import targets_of
from trainer.errors import NoRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.data.dataset import Dataset
    from trainer.spec.data.schema import Schema
    from trainer.spec.resolve import Resolution

Array = np.ndarray[Any, np.dtype[Any]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

DRAW = 17
"""Keeps this draw apart from those of the job itself."""
HELD = 2
"""Rows held back for each training row: they cost less than those, and tell more."""
FEWEST = 4
"""Training rows below which nothing can be said."""


@dataclass(frozen=True)
class DrawnRows:
    """Some of the training rows, then some of those held back for validation.

    Shapes:
        targets: (rows, outputs): a column of 0 and 1 for each class or label, or
        numbers with mean 0 and deviation 1 over the training rows.
    """

    schema: Schema
    columns: Mapping[str, Any]
    rows: Numbers
    """Numbers of the rows among `columns`."""
    train: int
    """How many of them, from the front, are training rows."""
    targets: Array
    task: str

    @property
    def told(self) -> dict[str, int]:
        """Return how many rows of each purpose there are."""
        return {"train": self.train, "validation": len(self.rows) - self.train}


class Few(dict[str, Any]):
    """The columns of a data set at some rows only; each is read when it is used."""

    def __init__(self, columns: Mapping[str, Any], rows: Numbers) -> None:
        super().__init__()
        self._columns, self._rows = columns, rows

    def __missing__(self, name: str) -> Array:
        """Read the rows of one column."""
        few: Array = np.asarray(self._columns[name][self._rows])
        self[name] = few
        return few


def drawn(resolution: Resolution, dataset: Dataset, size: int, seed: int) -> DrawnRows:
    """Draw at most `size` training rows, and twice as many of those held back.

    Raises:
        NoRows: too few are left.
        TrainerError: the target or a condition cannot be read.
    """
    reference = resolution.spec.dataset
    dataset = with_timeline(dataset, reference.windows)
    names = resolution.target
    targets = targets_of(
        resolution.task, names, resolution.classes, dataset.schema, dataset.columns
    )
    chosen = select(reference, dataset.schema, dataset.columns, targets.labels, seed)
    train = _some(chosen.train, targets.classes, size, seed)
    held = _some(chosen.validation, targets.classes, HELD * size, seed + 1)
    if len(train) < FEWEST:
        raise NoRows("training", f"{len(train)} are too few to compare sources on")
    rows = np.concatenate([train, held])
    answers = targets.of(rows, names)
    assert answers is not None
    columns: Mapping[str, Any] = dataset.columns
    if reference.windows is None:
        columns, place = Few(dataset.columns, rows), np.arange(len(rows))
    else:  # an example is made of other rows too
        place = rows
    return DrawnRows(
        dataset.schema,
        columns,
        place.astype(np.int64),
        len(train),
        _as_columns(answers, resolution, len(train)),
        resolution.task,
    )


def _some(rows: Numbers, classes: Numbers | None, size: int, seed: int) -> Numbers:
    """Draw `size` of the rows, each class with its share; all of them if there are few.

    No class that is there gets lost: of each at least one row is kept.
    """
    if len(rows) <= size:
        return rows
    order = np.random.default_rng([seed, DRAW]).permutation(len(rows))
    if classes is None:
        return np.sort(rows[order[:size]])
    of = classes[rows][order]
    # the place of each row among those of its class, as a share of that class
    sequence = np.argsort(of, kind="stable")
    _, starts, counts = np.unique(of[sequence], return_index=True, return_counts=True)
    place = np.empty(len(rows))
    place[sequence] = np.arange(len(rows)) - np.repeat(starts, counts)
    size_of = np.empty(len(rows))
    size_of[sequence] = np.repeat(counts, counts)
    first = np.argsort(np.where(place == 0, -1.0, place / size_of), kind="stable")
    return np.sort(rows[order[first[:size]]])


def _as_columns(answers: Array, resolution: Resolution, train: int) -> Array:
    if resolution.task == "classification":
        ones: Array = np.eye(len(resolution.classes))[answers]
        return ones
    numbers = np.asarray(answers, np.float64)
    if resolution.task == "multi_label":
        return numbers
    deviation = numbers[:train].std(axis=0)
    scaled: Array = numbers - numbers[:train].mean(axis=0)
    return scaled / np.where(deviation > 0, deviation, 1.0)
