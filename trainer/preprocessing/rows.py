"""Rows as a person writes them in JSON, turned into columns.

A row of a table is an object, column name → value, with null for what is unknown; an
image or array is nested lists in the data set's own form (an image is height, width,
channels with values from 0 to 255; one channel may be left out). Rows of a time series
are as many as a window has, or more, in any order if they say their moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import BadValue
from trainer.preprocessing.encodings import NO_BOOLEAN, NO_DATE
from trainer.preprocessing.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.spec.data import Windows
    from trainer.spec.data.schema import Column

Array = np.ndarray[Any, np.dtype[Any]]

BRIGHTEST = 255
LARGEST = float(np.finfo(np.float32).max)
MICROSECONDS = 1_000_000


def columns_of(rows: Sequence[object], columns: Sequence[Column]) -> dict[str, Array]:
    """Return the columns that the written rows make up.

    Raises: BadValue naming the row and the column.
    """
    if len(columns) == 1 and columns[0].shape:
        return {columns[0].name: _grids(rows, columns[0])}
    return {column.name: _scalars(rows, column) for column in columns}


def timeline_of(
    rows: Sequence[object], columns: Mapping[str, Array], windows: Windows
) -> Timeline:
    """Return the order of written rows; each value of `group_by` is a series.

    Raises: BadValue where a row has no moment.
    """
    series = np.zeros(len(rows), np.int64)
    if windows.group_by is not None:
        names = [str(_member(row, windows.group_by)) for row in rows]
        _, series = np.unique(names, return_inverse=True)
    if windows.order_by is None:
        return Timeline(len(rows), series, None)
    moments = columns[windows.order_by]
    unknown = np.isnan(moments) if moments.dtype.kind == "f" else moments == NO_DATE
    if unknown.any():
        why = "it orders the rows and must be known"
        raise BadValue(int(unknown.argmax()), windows.order_by, why)
    return Timeline(len(rows), series, moments)


def _member(row: object, column: str) -> object:
    return row.get(column) if isinstance(row, Mapping) else None


def _grids(rows: Sequence[object], column: Column) -> Array:
    """Stack images or arrays, each checked for its shape and its values."""
    dtype = np.uint8 if column.kind == "image" else np.float32
    out = np.empty((len(rows), *column.shape), dtype)
    for number, row in enumerate(rows):
        value = _found(row, number, column) if isinstance(row, Mapping) else row
        out[number] = _grid(value, number, column)
    return out


def _grid(value: object, number: int, column: Column) -> Array:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        why = f"numbers nested as {list(column.shape)} are needed"
        raise BadValue(number, column.name, why) from None
    accepted = {column.shape, (int(np.prod(column.shape)),)}
    if column.kind == "image" and column.shape[-1] == 1:
        accepted.add(column.shape[:-1])
    if array.shape not in accepted:
        why = f"shape {list(array.shape)} is given, {list(column.shape)} is needed"
        raise BadValue(number, column.name, why)
    if column.kind != "image":
        if not (np.abs(array) <= LARGEST).all():
            raise BadValue(number, column.name, "a value is no finite float32")
        return array.reshape(column.shape)
    if not ((array >= 0) & (array <= BRIGHTEST) & (array == np.floor(array))).all():
        why = "pixels are whole numbers from 0 to 255"
        raise BadValue(number, column.name, why)
    return array.reshape(column.shape)


def _scalars(rows: Sequence[object], column: Column) -> Array:
    """Read one column's value from each row."""
    codes = {name: code for code, name in enumerate(column.categories)}
    read: list[Any] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            why = "an object of column names and values is needed"
            raise BadValue(number, None, why)
        value = _found(row, number, column)
        if column.kind == "text":
            read.append(_text(value, number, column.name))
        elif column.kind == "category":
            read.append(-1 if value is None else codes.get(str(value), len(codes)))
        elif column.kind == "boolean":
            read.append(_boolean(value, number, column.name))
        elif column.kind == "date":
            read.append(_date(value, number, column.name))
        else:
            read.append(_number(value, number, column.name))
    kinds: dict[str, Any] = {
        "category": np.int32,
        "boolean": np.uint8,
        "date": np.int64,
        "text": object,
    }
    return np.array(read, kinds.get(column.kind, np.float64))


def _found(row: Mapping[str, object], number: int, column: Column) -> object:
    if column.name not in row:
        why = "it is not given; write null for an unknown value"
        raise BadValue(number, column.name, why)
    return row[column.name]


def _text(value: object, number: int, column: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadValue(number, column, f"a text is needed, not {value!r:.40}")
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        why = "the text has half a character in it (a lone surrogate)"
        raise BadValue(number, column, why) from None
    return value


def _number(value: object, number: int, column: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadValue(number, column, f"a number is needed, not {value!r:.40}")
    if not abs(value) <= LARGEST:
        raise BadValue(number, column, "the number is not a finite float32")
    return float(value)


def _boolean(value: object, number: int, column: str) -> int:
    if value is None:
        return NO_BOOLEAN
    if value not in (0, 1):
        raise BadValue(number, column, f"true or false is needed, not {value!r:.40}")
    return int(bool(value))


def _date(value: object, number: int, column: str) -> int:
    if value is None:
        return int(NO_DATE)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        why = f"an ISO 8601 date is needed, not {value!r:.40}"
        raise BadValue(number, column, why) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds
