"""Rows of a data set as people write them: the way back from columns to JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.preprocessing.encodings import NO_BOOLEAN, NO_DATE

if TYPE_CHECKING:
    from trainer.export.opened import RealRows
    from trainer.preprocessing.description import Description
    from trainer.spec.data.schema import Column

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def written_rows(description: Description, real: RealRows) -> list[Any]:
    """Return rows as JSON has them; of a time series those of the first window."""
    columns = description.columns
    windows = description.windows
    rows = real.rows if windows is None else real.rows[0]
    if len(columns) == 1 and columns[0].shape:
        found: list[Any] = np.asarray(real.columns[columns[0].name][rows]).tolist()
        return found
    names = [column.name for column in columns]
    values = [
        [_value(column, stored) for stored in real.columns[column.name][rows]]
        for column in columns
    ]
    each = zip(*values, strict=True)
    return [dict(zip(names, row, strict=True)) for row in each]


def _value(column: Column, stored: Any) -> Any:
    """Return one stored value as a person writes it; None for what is missing."""
    if column.kind == "category":
        return _category(column.categories, int(stored))
    if column.kind == "boolean":
        return None if stored == NO_BOOLEAN else bool(stored)
    if column.kind == "date":
        if stored == NO_DATE:
            return None
        return (BEGINNING + timedelta(microseconds=int(stored))).isoformat()
    if column.kind == "text":
        return stored
    return None if np.isnan(stored) else float(stored)


def _category(names: tuple[str, ...], code: int) -> str | None:
    if code < 0:
        return None
    if code < len(names):
        return names[code]
    unknown = "a category that is unknown"
    while unknown in names:
        unknown += "!"
    return unknown
