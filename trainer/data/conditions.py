"""Which rows satisfy a condition on a column's value; a missing value never does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import NoCondition
from trainer.preprocessing.encodings import NO_BOOLEAN, as_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from trainer.spec.data import Condition
    from trainer.spec.data.schema import Column, Scalar, Schema

Array = np.ndarray[Any, np.dtype[Any]]


def satisfied(
    condition: Condition, name: str, schema: Schema, columns: Mapping[str, Array]
) -> NDArray[np.bool_]:
    """Return for each row of the data set whether the column's value will do."""
    column = schema.column(name)
    if column is None:
        raise NoCondition(name, "the data set has no such column")
    if column.kind in {"text", "image", "array"}:
        raise NoCondition(name, f"its kind is {column.kind}")
    stored = np.asarray(columns[name])
    numbers = values_as_numbers(column, stored)
    keep = ~np.isnan(numbers)
    if column.kind == "category" and (condition.minimum, condition.maximum) != (
        None,
        None,
    ):
        return np.zeros(len(keep), bool)  # words are neither small nor large
    if condition.in_ is not None:
        keep &= np.isin(numbers, _wanted(column, condition.in_))
    if condition.not_in is not None:
        keep &= ~np.isin(numbers, _wanted(column, condition.not_in))
    if condition.minimum is not None:
        keep &= numbers >= condition.minimum
    if condition.maximum is not None:
        keep &= numbers <= condition.maximum
    return keep


def values_as_numbers(column: Column, stored: Array) -> Array:
    """Return a scalar column as float64, codes for categories, NaN for missing."""
    numbers = as_numbers(column.kind, stored)
    if column.kind == "category":
        numbers[stored < 0] = np.nan
    elif column.kind == "boolean":
        numbers[stored == NO_BOOLEAN] = np.nan
    return numbers


def _wanted(column: Column, values: Iterable[Scalar]) -> list[float]:
    """Return the numbers that stand for the values; a value that cannot occur: none."""
    if column.kind == "category":
        codes = {category: code for code, category in enumerate(column.categories)}
        return [float(codes[str(v)]) for v in values if str(v) in codes]
    return [float(v) for v in values if not isinstance(v, str)]
