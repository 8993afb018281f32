"""CSV and TSV files, as a stream of batches in which every value is a string."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from catalog.ingest import dialect, plain_text
from catalog.ingest.columns import Draft, Upload
from catalog.ingest.errors import Refused, refuse
from catalog.ingest.order import Complaint
from catalog.ingest.table import store

BLOCK = 4 * 1024**2
"""Bytes parsed at a time, and the longest row, in bytes."""
SHOWN = 20
"""Ragged rows that are listed before reading stops."""


def read(upload: Upload, draft: Draft) -> None:
    """Store a CSV or TSV file."""
    path = upload.path(upload.files[0])
    text, whole = plain_text.head(path)
    found = dialect.find(text, upload.options, whole=whole)
    plain_text.check(path, found.quote, found.delimiter)
    draft.options |= found.described()
    for name in found.unnamed:
        draft.problems.append(
            Complaint(
                code="unnamed_column",
                detail=f"a column has no name in the header; it is called {name!r}",
                remedy="name it in the file, or give all names as `header`",
                column=name,
            )
        )
    store(Rows(path, found), upload, draft)


class Rows:
    """The rows of a CSV file; each pass over them parses it again."""

    literal = False

    def __init__(self, path: Path, found: dialect.Dialect) -> None:
        self.path, self.dialect = path, found
        self.among_numbers = found.missing_among_numbers
        self.schema = pa.schema([(name, pa.utf8()) for name in found.names])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in blocks of bounded size.

        Raises:
            Refused: rows have more or fewer fields than the header.
        """
        ragged: list[tuple[int, int]] = []

        def note(row: Any) -> str:
            ragged.append((row.number, row.actual_columns))
            return "skip" if len(ragged) < SHOWN else "error"

        try:
            with self._open(note) as batches:
                for batch in batches:
                    yield self._trimmed(batch) if self.dialect.trim else batch
        except pa.ArrowInvalid as error:
            if not ragged:
                raise self._unreadable(error) from None
        if ragged:
            raise self._ragged(ragged)

    def _open(self, note: Any) -> Any:
        names = list(self.dialect.names)
        csv = pa.csv
        return csv.open_csv(
            str(self.path),
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=names,
                skip_rows_after_names=self.dialect.skip,
            ),
            parse_options=csv.ParseOptions(
                delimiter=self.dialect.delimiter,
                quote_char=self.dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.utf8()),
                null_values=list(self.dialect.missing),
                strings_can_be_null=True,
                check_utf8=False,  # the whole file was checked
            ),
        )

    def _trimmed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        missing = pa.array(self.dialect.missing, pa.utf8())
        columns = []
        for column in batch.columns:
            trimmed = pc.utf8_trim_whitespace(column)
            known = pc.invert(pc.is_in(trimmed, missing))
            columns.append(pc.if_else(known, trimmed, pa.scalar(None, pa.utf8())))
        return pa.record_batch(columns, schema=batch.schema)

    def _ragged(self, found: list[tuple[int, int]]) -> Refused:
        """List the rows with too many or too few fields, by row and by line."""
        lines = plain_text.lines_of(
            self.path, {record for record, _ in found}, self.dialect.quote
        )
        expected = len(self.dialect.names)
        complaints = []
        for record, actual in found:
            row, line = record - int(self.dialect.header), lines.get(record)
            where = f"row {row}" + (f" (line {line})" if line else "")
            complaints.append(
                Complaint(
                    code="ragged_row",
                    detail=f"{where} has {actual} fields, {expected} are expected",
                    remedy="give every row the same number of fields; quote a value "
                    f"that contains {self.dialect.delimiter!r}",
                    row=row,
                    line=line,
                )
            )
        return Refused(*complaints)

    @staticmethod
    def _unreadable(error: pa.ArrowInvalid) -> Refused:
        if "straddling" in str(error):
            return refuse(
                "row_too_long",
                f"a row is longer than {BLOCK:,} bytes, or a quote is never closed",
                "check the quotes; store long values as files of their own",
            )
        first = str(error).split("\n", 1)[0]
        return refuse(
            "unreadable_csv",
            f"the rows cannot be cut: {first}",
            "check the delimiter and the quotes, or give them",
        )
