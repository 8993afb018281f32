"""What is worth a word about rows that were answered: unknown names, whose series."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from trainer.preprocessing.description import Description

MOST = 20
"""Remarks that are made about the rows of one request."""


def remarks(rows: Sequence[Any], description: Description) -> list[str]:
    """Say which values the model has never seen a name of."""
    return list(islice(_unknown(rows, description), MOST))


def series_of(rows: Sequence[Any], description: Description) -> list[Any] | None:
    """Return the name of each series, in order of appearance; None: there are none."""
    windows = description.windows
    if windows is None or windows.group_by is None:
        return None
    names = (row.get(windows.group_by) for row in rows if isinstance(row, Mapping))
    return list({str(name): name for name in names}.values())


def _unknown(rows: Sequence[Any], description: Description) -> Iterator[str]:
    group = None if description.windows is None else description.windows.group_by
    known = {
        column.name: frozenset(column.categories)
        for column in description.columns
        if column.kind == "category" and column.name != group
    }
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            continue
        for name, categories in known.items():
            value = row.get(name)
            if value is not None and str(value) not in categories:
                yield (
                    f"row {number}: {str(value)[:100]!r} is none of the "
                    f"{len(categories):,} categories of {name!r} in the data set that "
                    "the model learned from; it counts as unknown"
                )
