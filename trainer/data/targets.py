"""What the network must answer: target columns as class numbers, labels or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.conditions import values_as_numbers
from trainer.data.selection import Labels
from trainer.errors import NonFinite, NoTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.data.target_scale import TargetScale
    from trainer.spec.data.schema import Column, Scalar, Schema
    from trainer.spec.losses import Task

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Targets:
    """The target of every row of a data set; none for a reconstruction.

    Shapes:
        classes: (rows,) class numbers, -1 for none of them; numbers: (rows, outputs),
        NaN where missing.
    """

    rows: int
    classes: NDArray[np.int64] | None = None
    numbers: NDArray[np.float64] | None = None

    @property
    def labels(self) -> Labels:
        """Return what the selection of rows needs to know."""
        known = np.ones(self.rows, bool)
        if self.classes is not None:
            known[self.classes == MISSING] = False
        elif self.numbers is not None:
            known[np.isnan(self.numbers).any(axis=1)] = False
        return Labels(known, self.classes)

    def of(
        self,
        rows: NDArray[np.int64],
        names: Sequence[str],
        scale: TargetScale | None = None,
    ) -> Array | None:
        """Return the targets of some rows as they are trained on.

        Raises: NonFinite if one of them is infinite.
        """
        if self.classes is not None:
            return self.classes[rows]
        if self.numbers is None:
            return None
        chosen = self.numbers[rows]
        wrong = ~(np.abs(chosen) <= LARGEST).all(axis=1)
        if wrong.any():
            raise NonFinite(", ".join(names), int(wrong.sum()))
        scaled = chosen if scale is None else scale.scaled(chosen)
        return scaled.astype(np.float32)


LARGEST = float(np.finfo(np.float32).max)
MISSING = -2
"""Class number of a row without a target; -1 is a value that is none of the classes."""


def targets_of(
    task: Task,
    names: Sequence[str],
    classes: Sequence[Scalar],
    schema: Schema,
    columns: Mapping[str, Array],
) -> Targets:
    """Read the target columns of a data set.

    Raises: NoTarget if a column is not there or cannot be read as numbers.
    """
    if task == "reconstruction":
        return Targets(schema.rows)
    found = [_column(schema, name) for name in names]
    if task == "classification":
        numbers = values_as_numbers(found[0], np.asarray(columns[names[0]]))
        return Targets(schema.rows, classes=_class_numbers(found[0], classes, numbers))
    wide = [
        values_as_numbers(column, np.asarray(columns[column.name])).reshape(
            schema.rows, -1
        )
        for column in found
    ]
    return Targets(schema.rows, numbers=np.concatenate(wide, axis=1))


def _column(schema: Schema, name: str) -> Column:
    column = schema.column(name)
    if column is None:
        raise NoTarget(name, "the data set has no such column")
    if column.kind == "text":
        raise NoTarget(name, "it is free text; make it a category with few values")
    return column


def _class_numbers(
    column: Column, classes: Sequence[Scalar], numbers: Array
) -> NDArray[np.int64]:
    """Return the position of each row's value among the classes."""
    if column.kind == "category":
        codes = {category: code for code, category in enumerate(column.categories)}
        wanted = np.array([codes.get(str(value), np.inf) for value in classes])
    else:
        wanted = np.array([float(value) for value in classes])
    order = np.argsort(wanted)
    place = np.searchsorted(wanted, numbers, sorter=order).clip(max=len(wanted) - 1)
    number: NDArray[np.int64] = order[place].astype(np.int64)
    number[wanted[number] != numbers] = -1
    number[np.isnan(numbers)] = MISSING
    return number
