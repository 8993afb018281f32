"""Rows of any table to columns: one pass to learn the kinds, one to store them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.ingest.columns import Array, ArrayFile, Draft, TextFile, Upload
from catalog.ingest.errors import refuse, too_large
from catalog.ingest.kinds import Decision, Strings
from catalog.ingest.typed import Typed

PART_NAMES = {
    **dict.fromkeys(["train", "training"], "train"),
    **dict.fromkeys(["validation", "valid", "val", "dev"], "validation"),
    **dict.fromkeys(["test", "testing"], "test"),
}
PART_ORDER = ("train", "validation", "test")
SPLIT = "split"
"""The column that says which part a row belongs to."""

Learned = Strings | Typed


class Table(Protocol):
    """Rows that can be read twice."""

    schema: pa.Schema
    literal: bool
    """Whether strings are strings, rather than anything in writing."""
    among_numbers: tuple[str, ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches, in the same order each time."""
        ...


def store(table: Table, upload: Upload, draft: Draft) -> None:
    """Learn the kind of every column, then write them part by part."""
    _check_names(table, upload)
    learned = [_learner(field, table, upload) for field in table.schema]
    parts = _Parts(table.schema)
    row = 1
    for batch in table.batches():
        parts.see(batch, row)
        for column, values in zip(learned, batch.columns, strict=True):
            column.see(values, row)
        row += batch.num_rows
    if row == 1:
        raise refuse("no_rows", "the table has no rows", "send a table with rows")
    draft.set_parts(parts.settle(row - 1))
    _write(table, learned, parts, draft)
    draft.target = upload.options.target
    draft.options["kinds"] = {c.name: c.kind for c in draft.columns}
    odd = sorted({m for c in learned if isinstance(c, Strings) for m in c.odd})
    if odd:
        draft.options["missing_among_numbers"] = odd
    for column in learned:
        draft.problems.extend(column.stray_problems())


def _learner(field: pa.Field, table: Table, upload: Upload) -> Learned:
    given = upload.options.kinds.get(field.name)
    if pa.types.is_string(field.type):
        return Strings(field.name, given, table.literal, table.among_numbers)
    return Typed(field.name, field.type, given)


def _check_names(table: Table, upload: Upload) -> None:
    names = table.schema.names
    if len(names) > upload.limits.columns:
        raise too_large(
            "too_many_columns",
            f"the table has {len(names):,} columns, at most "
            f"{upload.limits.columns:,} are allowed",
            "send arrays as .npz, which takes one column for all of them",
        )
    for field, wanted in (
        ("kinds", list(upload.options.kinds)),
        ("target", [upload.options.target] if upload.options.target else []),
    ):
        for name in wanted:
            if name not in names:
                raise refuse(
                    "unknown_column",
                    f"`{field}` names {name!r}, which is no column of the table",
                    "the columns are " + ", ".join(names[:20]),
                    column=name,
                )


class _Parts:
    """Which part each row belongs to, by the split column, if there is one."""

    def __init__(self, schema: pa.Schema) -> None:
        at = schema.get_field_index(SPLIT)
        text = at >= 0 and pa.types.is_string(schema.field(at).type)
        self.column = at if text else None
        self.words: dict[str, str] = {}
        self.names: list[str] = ["train"]
        self.counts: Counter[str] = Counter()
        self.first_missing: int | None = None

    def see(self, batch: pa.RecordBatch, first_row: int) -> None:
        if self.column is None:
            return
        values = batch.column(self.column)
        if values.null_count and self.first_missing is None:
            at = pc.index(pc.is_null(values), value=True).as_py()
            self.first_missing = first_row + at
        for pair in pc.value_counts(values.drop_null()).to_pylist():
            part = PART_NAMES.get(pair["values"].strip().lower())
            if part is None:
                self.column = None  # a column that happens to be called split
                return
            self.words[pair["values"]] = part
            self.counts[part] += pair["counts"]

    def settle(self, rows: int) -> list[tuple[str, int]]:
        """Return the parts and their rows, in order."""
        if self.column is None or not self.counts:
            self.column = None
            return [("train", rows)]
        if self.first_missing is not None:
            raise refuse(
                "missing_part",
                f"row {self.first_missing} has no value in the column {SPLIT!r}",
                "say train, validation or test in every row",
                row=self.first_missing,
                column=SPLIT,
            )
        if "train" not in self.counts:
            raise refuse(
                "no_training_rows",
                f"no row of the column {SPLIT!r} says train",
                "say train for the rows to learn from",
                column=SPLIT,
            )
        self.names = [name for name in PART_ORDER if self.counts[name]]
        return [(name, self.counts[name]) for name in self.names]

    def of(self, batch: pa.RecordBatch) -> list[tuple[int, Array | None]]:
        """Return for each part its rows within a batch; None means all."""
        if self.column is None:
            return [(0, None)]
        words = pa.array(list(self.words), pa.utf8())
        order = np.array([self.names.index(part) for part in self.words.values()])
        found = pc.index_in(batch.column(self.column), words).to_numpy()
        numbers = order[found]
        return [
            (number, np.flatnonzero(numbers == number))
            for number in range(len(self.names))
        ]


@dataclass
class _Writer:
    """One column on its way from the table to its file."""

    at: int
    """Its place in the table."""
    decision: Decision | Typed
    file: ArrayFile | TextFile

    def write(self, part: int, start: int, values: pa.Array) -> None:
        converted = self.decision.convert(values)
        if isinstance(self.file, TextFile):
            self.file.append(part, converted)
        else:
            self.file.write(start, converted)


def _write(table: Table, learned: list[Learned], parts: _Parts, draft: Draft) -> None:
    writers = [
        _writer(at, column, draft)
        for at, column in enumerate(learned)
        if at != parts.column
    ]
    if not writers:
        raise refuse(
            "no_columns", "the table has no column but the split", "add columns"
        )
    cursors = [part.start for part in draft.parts]
    for batch in table.batches():
        for number, rows in parts.of(batch):
            if rows is not None and not len(rows):
                continue
            some = batch if rows is None else batch.take(pa.array(rows))
            for writer in writers:
                writer.write(number, cursors[number], some.column(writer.at))
            cursors[number] += some.num_rows
    for writer in writers:
        if isinstance(writer.file, TextFile):
            writer.file.close()


def _writer(at: int, column: Learned, draft: Draft) -> _Writer:
    decision = column.decide()
    if decision.kind == "text":
        return _Writer(at, decision, draft.add_text(column.name))
    if isinstance(decision, Typed):
        file = draft.add(column.name, decision.kind, shape=decision.shape)
    else:
        file = draft.add(column.name, decision.kind, categories=decision.categories)
    return _Writer(at, decision, file)
