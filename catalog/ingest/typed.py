"""Columns whose type the file itself declares: Parquet, and numbers in JSON Lines."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.ingest.columns import NO_BOOLEAN, NO_DATE, Array
from catalog.ingest.errors import Refused, refuse
from catalog.ingest.kinds import Decision, Strings
from catalog.ingest.order import Complaint, TableKind
from trainer.spec.data.schema import ColumnKind

types = pa.types


class Typed:
    """What is known of a column with a declared type after the batches so far."""

    def __init__(self, name: str, declared: Any, given: TableKind | None) -> None:
        self.name, self.declared = name, declared
        self.kind: ColumnKind = _kind(name, declared)
        self.nulls = 0
        self.shape: tuple[int, ...] = self._declared_shape()
        self.words: Strings | None = None
        if given is not None and given != self.kind:
            self._check_given(given)
            if given == "number":
                self.kind = "number"
            else:
                self.words = Strings(name, given)

    def see(self, values: pa.Array, first_row: int) -> None:
        """Learn from the next batch, which starts at `first_row`."""
        if self.words is not None:
            self.words.see(pc.cast(values, pa.utf8()), first_row)
            return
        self.nulls += values.null_count
        if self.kind == "array":
            self._check_lengths(values, first_row)
        elif types.is_uint64(values.type) and self.kind == "integer":
            top = pc.max(values).as_py()
            if top is not None and top > np.iinfo(np.int64).max:
                self.kind = "number"

    def decide(self) -> "Decision | Typed":
        """Settle the kind once all values were seen."""
        if self.words is not None:
            decision = self.words.decide()
            return _Spelled(decision)
        if self.kind == "integer" and self.nulls:
            self.kind = "number"
        return self

    def stray_problems(self) -> list[Complaint]:
        """Return nothing: a declared type has no strays."""
        return []

    def convert(self, values: pa.Array) -> Array:
        """Turn a batch into what the column stores."""
        if self.kind == "array":
            flat = pc.cast(pc.list_flatten(values), pa.float32(), safe=False)
            numbers: Array = flat.to_numpy(zero_copy_only=False)
            return numbers.reshape(len(values), *self.shape)
        if self.kind == "boolean":
            values = pc.cast(values, pa.uint8()).fill_null(NO_BOOLEAN)
        elif self.kind == "date":
            values = _microseconds(values).fill_null(NO_DATE)
        elif self.kind == "integer":
            values = pc.cast(values, pa.int64())
        else:
            values = pc.cast(values, pa.float64(), safe=False)
        stored: Array = values.to_numpy(zero_copy_only=False)
        return stored

    def _declared_shape(self) -> tuple[int, ...]:
        if types.is_fixed_size_list(self.declared):
            return (self.declared.list_size,)
        return ()

    def _check_lengths(self, values: pa.Array, first_row: int) -> None:
        if values.null_count or pc.list_flatten(values).null_count:
            at = next(
                i for i, v in enumerate(values.to_pylist()) if v is None or None in v
            )
            raise refuse(
                "missing_in_array",
                f"row {first_row + at}: the list {self.name!r} has no value, or one is "
                "missing in it",
                "fill the missing values, or leave the row out",
                row=first_row + at,
                column=self.name,
            )
        if types.is_fixed_size_list(values.type) or not len(values):
            return
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        expected = self.shape[0] if self.shape else int(lengths[0])
        self.shape = (expected,)
        wrong = np.flatnonzero(lengths != expected)
        if len(wrong):
            row = first_row + int(wrong[0])
            raise refuse(
                "ragged_row",
                f"row {row}: the list {self.name!r} has {lengths[wrong[0]]} values, "
                f"in row 1 it has {expected}",
                "give all lists of a column the same length",
                row=row,
                column=self.name,
            )

    def _check_given(self, given: TableKind) -> None:
        numeric = self.kind in {"integer", "number", "boolean"}
        wanted = {"category", "text"} | ({"number"} if numeric else set())
        if self.kind == "array" or given not in wanted:
            raise refuse(
                "wrong_kind",
                f"{self.name!r} is given as {given}, but the file declares it as "
                f"{self.declared}",
                "leave the kind out, or convert the column before sending it",
                column=self.name,
            )


class _Spelled(Decision):
    """A decision about strings, for a column whose values are none yet."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(
            decision.kind, decision.missing, decision.categories, decision.cast
        )

    def convert(self, strings: pa.Array) -> Array | pa.Array:
        """Spell the values out, then go on as for strings."""
        return super().convert(pc.cast(strings, pa.utf8()))


def _kind(name: str, declared: Any) -> ColumnKind:
    if types.is_boolean(declared):
        return "boolean"
    if types.is_integer(declared):
        return "integer"
    if (
        types.is_floating(declared)
        or types.is_decimal(declared)
        or types.is_null(declared)
    ):
        return "number"
    if types.is_date(declared) or types.is_timestamp(declared):
        return "date"
    if (
        types.is_list(declared)
        or types.is_large_list(declared)
        or types.is_fixed_size_list(declared)
    ):
        inner = declared.value_type
        if types.is_integer(inner) or types.is_floating(inner):
            return "array"
    raise _unknown(name, declared)


def _unknown(name: str, declared: Any) -> Refused:
    return refuse(
        "unknown_type",
        f"the column {name!r} has the type {declared}, which is none that can be "
        "trained on",
        "convert it to numbers, booleans, strings, dates or lists of numbers, or "
        "leave it out",
        column=name,
    )


def _microseconds(values: pa.Array) -> pa.Array:
    zone = values.type.tz if types.is_timestamp(values.type) else None
    return pc.cast(pc.cast(values, pa.timestamp("us", zone), safe=False), pa.int64())
