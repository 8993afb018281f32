"""The order of a time series' rows, and which of them a window holds.

An example of a time series is known by the row of its target. All positions are those
of rows among all rows that are at hand: a data set's, or those of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import BadValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.spec.data import Windows
    from trainer.spec.data.schema import Part

Array = np.ndarray[Any, np.dtype[Any]]

TIMELINE = ""
"""Stands for the timeline among the columns' names, none of which is empty."""


class Timeline:
    """Rows in their order, divided into series that know nothing of each other.

    Shapes:
        order: (rows,) row numbers; rank: (rows,) each row's position in it; before:
        (rows,) how many rows of its series come before each row.
    """

    def __init__(self, rows: int, series: Array, moments: Array | None) -> None:
        """Order rows by series, then by moment, then as they lie."""
        self.series = series
        self.moments = np.arange(rows) if moments is None else moments
        self.order = np.lexsort((np.arange(rows), self.moments, series))
        self.rank = np.empty(rows, np.int64)
        self.rank[self.order] = np.arange(rows)
        _, first = np.unique(series[self.order], return_index=True)
        start = np.zeros(rows, np.int64)
        start[first] = first
        self.before = (self.rank - np.maximum.accumulate(start)[self.rank]).astype(
            np.int64
        )

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Any],
        windows: Windows,
        parts: Sequence[Part] = (),
    ) -> Timeline:
        """Return the timeline of columns; a series does not go on in another part."""
        named = [name for name in (windows.order_by, windows.group_by) if name]
        rows = max((part.stop for part in parts), default=0)
        if not rows:
            rows = len(columns[named[0]] if named else next(iter(columns.values())))
        series = np.zeros(rows, np.int64)
        for number, part in enumerate(parts):
            series[part.start : part.stop] = number
        if windows.group_by is not None:
            _, group = np.unique(columns[windows.group_by], return_inverse=True)
            series = series * (group.max() + 1) + group
        moments = None
        if windows.order_by is not None:
            moments = np.asarray(columns[windows.order_by])
        return cls(rows, series, moments)

    def windows(self, targets: Array, windows: Windows) -> Array:
        """Return the rows of the windows whose targets are in these rows.

        Shapes:
            targets: (examples,); returns (examples, length), the oldest row first.
        """
        last = self.rank[targets] - windows.horizon
        steps = np.arange(1 - windows.length, 1)
        found: Array = self.order[last[:, np.newaxis] + steps]
        return found

    def latest(self, length: int) -> Array:
        """Return the rows of the last window of each series, in order of appearance.

        Raises: BadValue if a series has fewer rows than a window.

        Shapes:
            returns (series, length), the oldest row first.
        """
        found = []
        _, appeared = np.unique(self.series, return_index=True)
        for series in self.series[np.sort(appeared)]:
            mine = self.order[self.series[self.order] == series]
            if len(mine) < length:
                why = (
                    f"its series has {len(mine)} rows, the model looks at the last "
                    f"{length}"
                )
                raise BadValue(int(mine.max()), None, why)
            found.append(mine[-length:])
        return np.stack(found)
