"""Parquet files, row group by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.ingest.columns import Draft, Upload
from catalog.ingest.errors import Refused, refuse, too_large
from catalog.ingest.order import Limits
from catalog.ingest.table import store

ROWS = 65_536
BATCH_BYTES = 32 * 1024**2
CELL_BYTES = 8
"""What a value takes at least in the finished columns, nearly."""

types = pa.types


def read(upload: Upload, draft: Draft) -> None:
    """Store a Parquet file."""
    draft.options |= {"format": "parquet"}
    rows = Groups(upload.path(upload.files[0]), upload.limits)
    store(rows, upload, draft)


class Groups:
    """The rows of a Parquet file; each pass over them decodes it again."""

    literal = True
    among_numbers: tuple[str, ...] = ()

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        try:
            with self._open() as file:
                declared, self.metadata = file.schema_arrow, file.metadata
                self.rows = self.metadata.num_rows
                self._check_size(limits)
        except MemoryError:
            raise  # an Arrow exception, but not of the file
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from None
        names = declared.names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise refuse(
                "duplicate_column",
                f"the column name {twice!r} occurs twice",
                "give each column a name of its own",
                column=twice,
            )
        self.schema = pa.schema([(f.name, _plain(f.type)) for f in declared])
        width = sum(_width(f.type) for f in self.schema)
        self.batch_rows = max(1, min(ROWS, BATCH_BYTES // max(width, 1)))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size.

        Raises:
            Refused: the file is damaged, or holds more or fewer rows than it says.
        """
        seen = 0
        try:
            with self._open() as file:
                for batch in file.iter_batches(self.batch_rows, use_threads=False):
                    seen += batch.num_rows
                    columns = [_decoded(column) for column in batch.columns]
                    yield pa.record_batch(columns, schema=self.schema)
        except MemoryError:
            raise  # an Arrow exception, but not of the file
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from None
        if seen != self.rows:
            raise refuse(
                "wrong_row_count",
                f"the file declares {self.rows:,} rows and holds {seen:,}",
                "write the file again",
            )

    def _open(self) -> Any:
        return pq.ParquetFile(str(self.path), pre_buffer=False, memory_map=False)

    def _check_size(self, limits: Limits) -> None:
        groups = range(self.metadata.num_row_groups)
        counted = sum(self.metadata.row_group(g).num_rows for g in groups)
        if counted != self.rows:
            raise refuse(
                "wrong_row_count",
                f"the file declares {self.rows:,} rows, its row groups {counted:,}",
                "write the file again",
            )
        cells = self.rows * self.metadata.num_columns * CELL_BYTES
        unpacked = sum(self.metadata.row_group(g).total_byte_size for g in groups)
        if max(cells, unpacked) > limits.output_bytes:
            raise too_large(
                "too_much_content",
                f"the file declares {self.rows:,} rows of "
                f"{self.metadata.num_columns:,} columns, {max(cells, unpacked):,} "
                f"bytes; at most {limits.output_bytes:,} are allowed",
                "send fewer rows",
            )


def damaged(error: Exception) -> Refused:
    """Make the refusal of a file that does not open."""
    first = str(error).split("\n", 1)[0][:200]
    return refuse(
        "damaged_file",
        f"the Parquet file cannot be read: {first}",
        "the file seems to be cut off or damaged: write and send it again",
    )


def _plain(declared: Any) -> Any:
    """Return the type after dictionaries and large strings are resolved."""
    if types.is_dictionary(declared):
        return _plain(declared.value_type)
    if types.is_large_string(declared) or types.is_string_view(declared):
        return pa.utf8()
    return declared


def _decoded(column: pa.Array) -> pa.Array:
    plain = _plain(column.type)
    return column if plain == column.type else pc.cast(column, plain)


def _width(declared: Any) -> int:
    return declared.list_size * 8 if types.is_fixed_size_list(declared) else 16
