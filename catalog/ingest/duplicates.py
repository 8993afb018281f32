"""Rows that occur more than once, found by a 64-bit hash of each."""

import hashlib
from collections.abc import Sequence

import numpy as np

from catalog.ingest.columns import Array
from trainer.spec.data.schema import Part

MOST_ROWS = 50_000_000
"""Rows up to which duplicates are looked for: eight bytes of memory each."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(31)


class RowHashes:
    """One hash per row, over all columns seen so far."""

    def __init__(self, rows: int) -> None:
        self._hashes: Array | None = None
        self._duplicates: int | None = None
        if rows <= MOST_ROWS:
            self._hashes = np.zeros(rows, np.uint64)

    def next_column(self) -> None:
        """Say that the next values are those of another column."""
        if self._hashes is not None:
            self._hashes *= _ODD

    def add_scalars(self, start: int, values: Array) -> None:
        """Add a block of a column of numbers."""
        if self._hashes is None:
            return
        wide = values + 0.0 if values.dtype.kind == "f" else values.astype(np.int64)
        self._add(start, wide.view(np.uint64))  # + 0.0 makes -0.0 and 0.0 alike

    def add_arrays(self, start: int, values: Array) -> None:
        """Add a block of images or arrays."""
        if self._hashes is not None:
            rows = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
            self.add_bytes(start, [row.data for row in rows])

    def add_bytes(self, start: int, values: Sequence[bytes | memoryview]) -> None:
        """Add a block of values given as bytes."""
        if self._hashes is None:
            return
        digests = b"".join(hashlib.blake2b(v, digest_size=8).digest() for v in values)
        self._add(start, np.frombuffer(digests, np.uint64))

    def duplicates(self) -> int | None:
        """Count the rows that equal an earlier one; None if there are too many rows."""
        if self._hashes is None:
            return None
        if self._duplicates is None:
            ordered = np.sort(self._hashes)
            self._duplicates = int((ordered[1:] == ordered[:-1]).sum())
        return self._duplicates

    def shared(self, part: Part, other: Part) -> int | None:
        """Count the rows of `other` that also occur in `part`."""
        if self._hashes is None:
            return None
        known = self._hashes[part.start : part.stop]
        return int(np.isin(self._hashes[other.start : other.stop], known).sum())

    def _add(self, start: int, bits: Array) -> None:
        assert self._hashes is not None
        mixed = bits * _MIX
        mixed ^= mixed >> _SHIFT
        mixed *= _ODD
        self._hashes[start : start + len(bits)] ^= mixed ^ (mixed >> _SHIFT)
