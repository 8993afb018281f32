"""JSON Lines: one object per line, its keys the columns."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.ingest import plain_text
from catalog.ingest.columns import Draft, Upload
from catalog.ingest.errors import Refused, refuse, too_large
from catalog.ingest.order import Limits
from catalog.ingest.table import store

ROWS = 16_384
BATCH_BYTES = 8 * 1024**2
LINE_BYTES = 16 * 1024**2

TYPES: dict[str, pa.DataType] = {
    "a boolean": pa.bool_(),
    "an integer": pa.int64(),
    "a number": pa.float64(),
    "a string": pa.utf8(),
    "a list": pa.list_(pa.float64()),
    "null": pa.null(),
}
CONFUSABLE = {"an integer", "a number"}


def read(upload: Upload, draft: Draft) -> None:
    """Store a JSON Lines file."""
    path = upload.path(upload.files[0])
    draft.options |= {"format": "jsonl", "encoding": "utf-8"}
    store(Lines(path, upload.limits, upload.options.missing or ()), upload, draft)


class Lines:
    """The objects of a JSON Lines file; each pass over them parses it again."""

    literal = True
    among_numbers: tuple[str, ...] = ()

    def __init__(self, path: Path, limits: Limits, missing: tuple[str, ...]) -> None:
        self.path, self.limits, self.missing = path, limits, frozenset(missing)
        kinds: dict[str, tuple[str, int]] = {}
        for row, _, values in self._objects():
            for name, value in values.items():
                kind = self._kind(name, value, row)
                kinds[name] = _joined(name, kinds.get(name), kind, row)
            if len(kinds) > limits.columns:
                raise too_large(
                    "too_many_columns",
                    f"up to row {row} there are {len(kinds):,} different keys, at most "
                    f"{limits.columns:,} are allowed",
                    "use the same keys in every line",
                    row=row,
                )
        self.schema = pa.schema(
            [(name, TYPES[kind]) for name, (kind, _) in kinds.items()]
        )
        self.floats = {name for name, (kind, _) in kinds.items() if kind == "a number"}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size."""
        rows: list[dict[str, Any]] = []
        size = 0
        for _, length, values in self._objects():
            rows.append(values)
            size += length
            if len(rows) == ROWS or size > BATCH_BYTES:
                yield self._batch(rows)
                rows, size = [], 0
        if rows:
            yield self._batch(rows)

    def _batch(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        columns = []
        for field in self.schema:
            values = [row.get(field.name) for row in rows]
            if self.missing:
                values = [self._known(value) for value in values]
            if field.name in self.floats:
                values = [None if value is None else float(value) for value in values]
            columns.append(pa.array(values, field.type))
        return pa.record_batch(columns, schema=self.schema)

    def _known(self, value: Any) -> Any:
        return None if isinstance(value, str) and value in self.missing else value

    def _objects(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield row number, length in bytes and values of each line."""
        row = 0
        with self.path.open("rb") as file:
            file.seek(_skipped(file.read(3)))
            for number, line in enumerate(_lines(file), 1):
                if line.strip():
                    row += 1
                    yield row, len(line), self._object(line, row, number)

    @staticmethod
    def _object(line: bytes, row: int, number: int) -> dict[str, Any]:
        place = {"row": row, "line": number}
        try:
            values = json.loads(line, object_pairs_hook=_object)
        except UnicodeDecodeError as error:
            raise refuse(
                "not_utf8",
                f"line {number} is not UTF-8: {error.reason}",
                "save the file with the encoding UTF-8",
                **place,
            ) from None
        except (ValueError, RecursionError) as error:
            raise refuse(
                "invalid_json",
                f"row {row} (line {number}) is not JSON: {str(error)[:200]}",
                "write one JSON object per line",
                **place,
            ) from None
        if not isinstance(values, dict):
            raise refuse(
                "not_an_object",
                f"row {row} (line {number}) is {type(values).__name__}, not an object",
                'write one JSON object per line, such as {"x": 1.5, "label": "a"}',
                **place,
            )
        return values

    @staticmethod
    def _kind(name: str, value: Any, row: int) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "a boolean"
        if isinstance(value, int):
            return "an integer" if -(2**63) <= value < 2**63 else "a number"
        if isinstance(value, float):
            return "a number"
        if isinstance(value, str):
            return "a string"
        numbers = isinstance(value, list) and all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in value
        )
        if numbers:
            return "a list"
        raise refuse(
            "unknown_type",
            f"row {row}: {name!r} is nested: {json.dumps(value)[:80]}",
            "use numbers, strings, booleans, null or lists of numbers; send arrays of "
            "more dimensions as .npz",
            row=row,
            column=name,
        )


def _lines(file: Any) -> Iterator[bytes]:
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise refuse(
                "row_too_long",
                f"line {number} is longer than {LINE_BYTES:,} bytes",
                "write one object per line; send arrays as .npz",
                line=number,
            )
        if b"\0" in line:
            raise refuse(
                "nul_byte",
                f"line {number} contains a NUL byte",
                "save the file as plain UTF-8 text",
                line=number,
            )
        yield line


def _skipped(start: bytes) -> int:
    mark = plain_text.BYTE_ORDER_MARK
    return len(mark) if start == mark else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return values


def _joined(
    name: str, before: tuple[str, int] | None, kind: str, row: int
) -> tuple[str, int]:
    """Join a value's kind with that of the rows before; keep where it came from."""
    if before is None or before[0] == "null":
        return kind, row
    known, since = before
    if kind in {"null", known}:
        return before
    if {kind, known} == CONFUSABLE:
        return "a number", since
    raise mixed(name, known, since, kind, row)


def mixed(name: str, known: str, since: int, kind: str, row: int) -> Refused:
    """Make the refusal of a column whose values differ in type."""
    return refuse(
        "mixed_types",
        f"row {row}: {name!r} is {kind}, in row {since} it is {known}",
        "write all values of a key in the same type",
        row=row,
        column=name,
    )
