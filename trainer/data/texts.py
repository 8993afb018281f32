"""A stored column of text: an Arrow file that is mapped, never read as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import NotADataset

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[Any]]


class StoredTexts:
    """The texts of a column, None where one is missing; rows are taken by number."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises: NotADataset.
        """
        import pyarrow as pa  # noqa: PLC0415 - most jobs have no text

        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            self._texts = table.column("text")
        except (OSError, pa.ArrowException, KeyError) as error:
            raise NotADataset(path, str(error)) from error

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._texts)

    def __getitem__(self, rows: Array) -> Array:
        """Return the texts of some rows."""
        found = np.empty(len(rows), object)
        found[:] = self._texts.take(np.asarray(rows)).to_pylist()
        return found
