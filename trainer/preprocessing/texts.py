"""Texts as they are gone through: the strings of categories, some rows of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, np.dtype[Any]]

AT_ONCE = 4096
"""Texts that are in memory at a time."""


class ChosenTexts:
    """The texts of some rows, read anew each time that they are gone through."""

    def __init__(self, column: Any, rows: Array) -> None:
        self._column, self._rows = column, rows

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._rows)

    def __iter__(self) -> Iterator[str | None]:
        """Yield the texts in the order of the rows."""
        for start in range(0, len(self._rows), AT_ONCE):
            yield from self._column[self._rows[start : start + AT_ONCE]]


class CategoryTexts:
    """The strings of a category column, for an encoding that takes texts."""

    def __init__(self, categories: tuple[str, ...], codes: Array) -> None:
        self._texts = np.array([*categories, None], object)  # -1 is the last
        self._codes = codes

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._codes)

    def __getitem__(self, rows: Array) -> Array:
        """Return the strings of some rows; None where one is missing."""
        found: Array = self._texts[self._codes[rows]]
        return found
