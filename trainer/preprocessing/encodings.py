"""What a column of a table becomes if nothing is said of it: one class per encoding.

An encoding is fitted on training rows, knows its ``width`` in features, and writes
float64 features for any rows. Those that a spec asks for lie beside this file; all of
them are named in `trainer.preprocessing.fitting`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from trainer.spec.base import Spec
from trainer.spec.data.schema import Column  # noqa: TC001 - pydantic reads it

Array = np.ndarray[Any, np.dtype[Any]]

NO_DATE = np.iinfo(np.int64).min
"""How a date column stores a missing value."""
NO_BOOLEAN = 255
"""How a boolean column stores a missing value."""


class Standardised(Spec):
    """Subtract the mean and divide by the deviation; a constant becomes 0.

    A missing value becomes the mean, hence 0.
    """

    kind: Literal["standardised"] = "standardised"
    column: str
    form: Literal["number", "integer", "date"]
    """How the column is stored; dates are microseconds since 1970 UTC."""
    mean: float
    """Mean of the training rows that have a value."""
    deviation: float
    """Population standard deviation of those rows; 0 for a constant."""

    @property
    def width(self) -> int:
        """Return the number of features: one."""
        return 1

    @classmethod
    def fit(cls, column: Column, stored: Array) -> Standardised:
        """Measure the rows that have a value."""
        numbers = as_numbers(column.kind, stored)
        present = numbers[~np.isnan(numbers)]
        form: Any = column.kind
        if present.size == 0 or present.min() == present.max():
            mean = float(present[0]) if present.size else 0.0
            return cls(column=column.name, form=form, mean=mean, deviation=0.0)
        return cls(
            column=column.name,
            form=form,
            mean=float(present.mean()),
            deviation=float(present.std()),
        )

    def write(self, stored: Array, features: Array) -> None:
        """Write the standardised values into (rows, 1) `features`."""
        if self.deviation == 0:
            features[:] = 0
            return
        numbers = as_numbers(self.form, stored)
        scaled = (numbers - self.mean) / self.deviation
        features[:, 0] = np.where(np.isnan(scaled), 0, scaled)


class Imputed(Spec):
    """Leave numbers as they are; a missing value becomes the training rows' mean."""

    kind: Literal["imputed"] = "imputed"
    column: str
    form: Literal["number", "integer", "date"]
    """How the column is stored; dates are microseconds since 1970 UTC."""
    fill: float
    """Mean of the training rows that have a value."""

    @property
    def width(self) -> int:
        """Return the number of features: one."""
        return 1

    @classmethod
    def fit(cls, column: Column, stored: Array) -> Imputed:
        """Measure the rows that have a value."""
        measured = Standardised.fit(column, stored)
        return cls(column=column.name, form=measured.form, fill=measured.mean)

    def write(self, stored: Array, features: Array) -> None:
        """Write the values into (rows, 1) `features`."""
        numbers = as_numbers(self.form, stored)
        features[:, 0] = np.where(np.isnan(numbers), self.fill, numbers)


class OneHot(Spec):
    """One feature per category, 1 for the row's own; an unknown category is all 0.

    A missing value becomes the most frequent category of the training rows, or has a
    last feature of its own.
    """

    kind: Literal["one_hot"] = "one_hot"
    column: str
    categories: tuple[str, ...]
    """What the features stand for, in order."""
    fill: int = Field(ge=-1)
    """Position of the most frequent category; -1 if no training row has one; the
    number of categories where a missing value has a feature of its own."""
    missing: Literal[True] | None = None
    """Whether it has one."""

    @property
    def width(self) -> int:
        """Return the number of features: one per category."""
        return len(self.categories) + (self.missing is True)

    @classmethod
    def fit(cls, column: Column, stored: Array, *, missing: bool = False) -> OneHot:
        """Count the categories of the rows that have one."""
        if missing:
            last = len(column.categories)
            return cls(
                column=column.name,
                categories=column.categories,
                fill=last,
                missing=True,
            )
        counts = np.bincount(stored[stored >= 0], minlength=len(column.categories))
        fill = int(counts.argmax()) if counts.any() else -1
        return cls(column=column.name, categories=column.categories, fill=fill)

    def write(self, stored: Array, features: Array) -> None:
        """Write zeros and ones into (rows, categories) `features`.

        In `stored`, -1 is a missing value and a code that is no category is unknown.
        """
        known = np.where(
            stored >= len(self.categories), len(self.categories) + 1, stored
        )
        codes = np.where(stored == -1, self.fill, known)
        features[:] = codes[:, np.newaxis] == np.arange(self.width)


class Flag(Spec):
    """One feature, 0 or 1; a missing value becomes the commoner of the two."""

    kind: Literal["flag"] = "flag"
    column: str
    fill: int = Field(ge=0, le=1)

    @property
    def width(self) -> int:
        """Return the number of features: one."""
        return 1

    @classmethod
    def fit(cls, column: Column, stored: Array) -> Flag:
        """Find the commoner value of the rows that have one."""
        present = stored[stored != NO_BOOLEAN]
        fill = int(present.size > 0 and 2 * int(present.sum()) > present.size)
        return cls(column=column.name, fill=fill)

    def write(self, stored: Array, features: Array) -> None:
        """Write zeros and ones into (rows, 1) `features`."""
        features[:, 0] = np.where(stored == NO_BOOLEAN, self.fill, stored)


def as_numbers(kind: str, stored: Array) -> Array:
    """Return a scalar column as float64 with NaN where a value is missing."""
    numbers = stored.astype(np.float64)
    if kind == "date":
        numbers[stored == NO_DATE] = np.nan
    return numbers
