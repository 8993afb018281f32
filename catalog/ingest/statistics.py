"""What the columns hold, found by reading what was stored once, block by block."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from catalog.ingest.columns import (
    NO_BOOLEAN,
    NO_CATEGORY,
    NO_DATE,
    Array,
    ArrayFile,
    Draft,
    TextFile,
)
from catalog.ingest.duplicates import RowHashes
from catalog.ingest.errors import Refused
from catalog.ingest.order import Complaint
from trainer.spec.data.calendar import CYCLES, place
from trainer.spec.data.schema import Column, DatePart, Part, Scalar, Value
from trainer.spec.data.words import Counting

BLOCK = 2 * 1024**2
"""Bytes of a column read at a time."""
VALUES = 1_000
"""Most different values that are listed."""
ALL_VALUES = 20_000
"""Most values listed over all columns that are no categories."""
SHOWN = 20


@dataclass
class Moments:
    """Extremes, mean and deviation of the values so far."""

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""

    def see(self, values: Array) -> None:
        """Join a block to the ones before, after Chan et al. (1979), equation 2.1."""
        if not values.size:
            return
        mean = float(values.mean(dtype=np.float64))
        squares = float(np.square(values - mean, dtype=np.float64).sum())
        total = self.count + values.size
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def described(self) -> dict[str, float | None]:
        """Return the schema's fields; all None if there is no value."""
        if not self.count:
            return {}
        found = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "deviation": math.sqrt(self.squares / self.count),
        }
        return {k: v if math.isfinite(v) else None for k, v in found.items()}


@dataclass
class Places:
    """Smallest and largest place of the dates so far, in time and in each cycle."""

    ranges: dict[DatePart, tuple[float, float]] = field(default_factory=dict)

    def see(self, moments: Array) -> None:
        """Learn from a block of microseconds since 1970."""
        if not moments.size:
            return
        for part in ("time", *CYCLES):
            places = moments if part == "time" else place(part, moments)
            low, high = float(places.min()), float(places.max())
            known = self.ranges.get(part, (low, high))
            self.ranges[part] = (min(low, known[0]), max(high, known[1]))

    def varying(self) -> tuple[DatePart, ...]:
        """Return the parts in which the dates differ, the time first."""
        return tuple(part for part, (low, high) in self.ranges.items() if low < high)


@dataclass
class Tally:
    """The different values so far with their counts, unless there are too many."""

    counts: dict[Scalar, list[int]] | None = field(default_factory=dict)

    def see(self, values: Array, *, train: bool) -> None:
        """Count a block."""
        if self.counts is None:
            return
        found, often = np.unique(values, return_counts=True)
        for value, count in zip(found.tolist(), often.tolist(), strict=True):
            pair = self.counts.setdefault(value, [0, 0])
            pair[0] += count
            pair[1] += count if train else 0
            if len(self.counts) > VALUES:
                self.counts = None
                return

    def described(self) -> tuple[Value, ...]:
        """Return the values in order."""
        if self.counts is None:
            return ()
        return tuple(
            Value(value=value, count=count, train=train)
            for value, (count, train) in sorted(self.counts.items())
        )


@dataclass
class Summary:
    """A column's schema entry, and what only the report tells of it."""

    column: Column
    sha256: str
    non_finite: int = 0
    complaints: list[Complaint] = field(default_factory=list)


def summarise(draft: Draft, hashes: RowHashes) -> list[Summary]:
    """Read every column once: count, measure, hash.

    Raises:
        Refused: an array holds values that are not finite.
    """
    found = []
    for column in draft.columns:
        hashes.next_column()
        if isinstance(column, TextFile):
            found.append(_of_text(column, draft.parts, hashes))
        elif column.shape:
            found.append(_of_arrays(column, draft.parts, hashes))
        else:
            found.append(_of_scalars(column, draft.parts, hashes))
    return _thinned(found)


def blocks(
    column: ArrayFile, parts: tuple[Part, ...]
) -> Iterator[tuple[Part, int, Array]]:
    """Yield (part, first row, values) in blocks of bounded size."""
    step = max(1, BLOCK // max(column.row_bytes, 1))
    for part in parts:
        for start in range(part.start, part.stop, step):
            yield part, start, column.read(start, min(start + step, part.stop))


def _of_scalars(
    column: ArrayFile, parts: tuple[Part, ...], hashes: RowHashes
) -> Summary:
    moments, tally, digest = Moments(), Tally(), hashlib.sha256()
    missing = non_finite = 0
    complaints: list[Complaint] = []
    places = Places()
    for part, start, values in blocks(column, parts):
        digest.update(values.data)
        hashes.add_scalars(start, values)
        present = values[_is_present(column, values)]
        missing += len(values) - len(present)
        if column.kind == "number":
            finite = np.isfinite(present)
            if not finite.all():
                rows = start + np.flatnonzero(np.isinf(values)) + 1
                non_finite += len(rows)
                complaints += [_infinite(column, row) for row in rows[:SHOWN].tolist()]
                present = present[finite]
        tally.see(present, train=part.name == "train")
        if column.kind == "date" and part == parts[0]:
            places.see(present)
        if column.kind != "category":
            moments.see(present)
    listed = () if column.kind == "date" else tally.described()
    if column.kind == "category":
        listed = tuple(
            v.model_copy(update={"value": column.categories[int(v.value)]})
            for v in listed
        )
    elif column.kind == "boolean":
        listed = tuple(v.model_copy(update={"value": bool(v.value)}) for v in listed)
    described = Column(
        name=column.name,
        kind=column.kind,
        missing=missing,
        distinct=None if tally.counts is None else len(tally.counts),
        values=listed,
        categories=column.categories,
        varies=places.varying() if column.kind == "date" else None,
        **moments.described(),
    )
    return Summary(described, digest.hexdigest(), non_finite, complaints[:SHOWN])


def _is_present(column: ArrayFile, values: Array) -> Array:
    if column.kind == "number":
        present: Array = ~np.isnan(values)
        return present
    absent = {"boolean": NO_BOOLEAN, "category": NO_CATEGORY, "date": NO_DATE}
    nothing = absent.get(column.kind)
    return np.ones(len(values), bool) if nothing is None else values != nothing


def _of_arrays(
    column: ArrayFile, parts: tuple[Part, ...], hashes: RowHashes
) -> Summary:
    moments, digest = Moments(), hashlib.sha256()
    complaints: list[Complaint] = []
    for _, start, values in blocks(column, parts):
        digest.update(values.data)
        hashes.add_arrays(start, values)
        if column.kind == "array":
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            rows = start + np.flatnonzero(~finite) + 1
            complaints += [_infinite(column, row) for row in rows[:SHOWN].tolist()]
            if len(complaints) >= SHOWN:
                break
        if not complaints:
            moments.see(values)
    if complaints:
        raise Refused(*complaints[:SHOWN])
    described = Column(
        name=column.name, kind=column.kind, shape=column.shape, **moments.described()
    )
    return Summary(described, digest.hexdigest())


def _of_text(column: TextFile, parts: tuple[Part, ...], hashes: RowHashes) -> Summary:
    """Hash lengths and characters, so that the cutting into batches does not count."""
    digest, row, missing = hashlib.sha256(), 0, 0
    distinct: set[str] | None = set()
    counting = Counting()
    for batch in column.read():
        texts: list[str | None] = batch.to_pylist()
        encoded = [b"" if text is None else text.encode() for text in texts]
        lengths = [
            -1 if t is None else len(e) for t, e in zip(texts, encoded, strict=True)
        ]
        for at, size in enumerate(lengths):
            digest.update(size.to_bytes(8, "little", signed=True))
            digest.update(encoded[at])
        hashes.add_bytes(row, encoded)
        if row < parts[0].stop:  # the parts lie in their order, training rows first
            counting.see(texts[: parts[0].stop - row])
        row += len(texts)
        missing += batch.null_count
        if distinct is not None:
            distinct |= {text for text in texts if text is not None}
            distinct = distinct if len(distinct) <= VALUES else None
    described = Column(
        name=column.name,
        kind="text",
        missing=missing,
        distinct=None if distinct is None else len(distinct),
        words=counting.counted(),
    )
    return Summary(described, digest.hexdigest())


def _infinite(column: ArrayFile, row: int) -> Complaint:
    return Complaint(
        code="non_finite",
        detail=f"row {row}: {column.name!r} holds an infinite value or no number",
        remedy="replace the value"
        + ("" if column.shape else ", or leave it empty: then it counts as missing"),
        row=row,
        column=column.name,
    )


def _thinned(found: list[Summary]) -> list[Summary]:
    """Drop the longest lists of values where thousands of columns would fill a book."""
    order = sorted(range(len(found)), key=lambda at: len(found[at].column.values))
    budget = ALL_VALUES
    for at in order:
        column = found[at].column
        budget -= len(column.values)
        if budget < 0 and column.kind != "category":
            found[at].column = column.model_copy(update={"values": ()})
    return found
