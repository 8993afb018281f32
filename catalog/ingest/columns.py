"""Columns being written: each a file that grows at any row, in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.ingest.errors import too_large
from catalog.ingest.order import Complaint, File, Limits, Options
from trainer.spec.data.schema import ColumnKind, Part

Array = npt.NDArray[Any]

DTYPES: dict[ColumnKind, str] = {
    "number": "<f8",
    "integer": "<i8",
    "boolean": "|u1",
    "category": "<i4",
    "date": "<i8",
    "image": "|u1",
    "array": "<f4",
}
NO_BOOLEAN = 255
NO_CATEGORY = -1
NO_DATE = int(np.iinfo(np.int64).min)

TEXT = pa.schema([("text", pa.utf8())])


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return (height, width, channels) if 8-bit rows of this shape are images."""
    match shape:
        case (height, width):
            return height, width, 1
        case (height, width, (1 | 2 | 3 | 4) as channels):
            return height, width, channels
    return None


@dataclass
class Upload:
    """What was sent, and how it is to be read."""

    folder: Path
    files: tuple[File, ...]
    options: Options
    limits: Limits

    def path(self, file: File) -> Path:
        """Return where a file of the upload lies."""
        return self.folder / file.stored


class ArrayFile:
    """A column of numbers: an .npy file, written at any row."""

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        path: Path,
        name: str,
        kind: ColumnKind,
        rows: int,
        shape: tuple[int, ...],
        categories: tuple[str, ...],
    ) -> None:
        self.path, self.name, self.kind, self.rows = path, name, kind, rows
        self.shape, self.categories = shape, categories
        self.dtype = np.dtype(DTYPES[kind])
        self.row_bytes = self.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file,
                {
                    "descr": np.lib.format.dtype_to_descr(self.dtype),
                    "fortran_order": False,
                    "shape": (rows, *shape),
                },
            )
            self.offset = file.tell()
            file.truncate(self.offset + rows * self.row_bytes)

    def write(self, start: int, values: Array) -> None:
        """Store rows from `start` on."""
        with np.errstate(over="ignore"):  # an infinite float32 is refused later
            block = np.ascontiguousarray(values, dtype=self.dtype)
        with self.path.open("r+b") as file:
            file.seek(self.offset + start * self.row_bytes)
            file.write(block.data.cast("B") if block.size else b"")

    def read(self, start: int, stop: int) -> Array:
        """Return the rows of a range, read into memory."""
        count = (stop - start) * self.row_bytes // self.dtype.itemsize
        with self.path.open("rb") as file:
            file.seek(self.offset + start * self.row_bytes)
            flat = np.fromfile(file, self.dtype, count)
        return flat.reshape(stop - start, *self.shape)


class TextFile:
    """A column of text: an Arrow file, written part by part."""

    kind: ColumnKind = "text"
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()

    def __init__(self, path: Path, name: str, rows: int) -> None:
        self.path, self.name, self.rows = path, name, rows
        self._streams: dict[int, Any] = {}

    def append(self, part: int, values: pa.Array) -> None:
        """Store more rows of a part, given by its number."""
        if part not in self._streams:
            self._streams[part] = pa.ipc.new_stream(str(self._stream(part)), TEXT)
        batch = pa.record_batch([values.cast(pa.utf8())], schema=TEXT)
        self._streams[part].write_batch(batch)

    def close(self) -> None:
        """Join the parts in their order."""
        with pa.ipc.new_file(str(self.path), TEXT) as joined:
            for part, stream in sorted(self._streams.items()):
                stream.close()
                with pa.ipc.open_stream(str(self._stream(part))) as batches:
                    for batch in batches:
                        joined.write_batch(batch)
                self._stream(part).unlink()

    def read(self) -> Any:
        """Yield the values batch by batch, in the order of the rows."""
        with pa.OSFile(str(self.path)) as source:
            batches = pa.ipc.open_file(source)
            for index in range(batches.num_record_batches):
                yield batches.get_batch(index).column(0)

    def _stream(self, part: int) -> Path:
        return self.path.with_suffix(f".part{part}")


ColumnFile = ArrayFile | TextFile


@dataclass
class Draft:
    """A data set that is being written."""

    folder: Path
    limits: Limits
    parts: tuple[Part, ...] = ()
    columns: list[ColumnFile] = field(default_factory=list)
    target: str | None = None
    source: str = "table"
    options: dict[str, Any] = field(default_factory=dict)
    """How the upload was read, for the report."""
    problems: list[Complaint] = field(default_factory=list)
    """What is odd about it, but no reason to refuse it."""

    def set_parts(self, sizes: Sequence[tuple[str, int]]) -> None:
        """Lay the rows out: first part first."""
        start, parts = 0, []
        for name, rows in sizes:
            parts.append(Part(name=name, start=start, stop=start + rows))
            start += rows
        self.parts = tuple(parts)

    @property
    def rows(self) -> int:
        """Return how many rows there are in all parts."""
        return self.parts[-1].stop if self.parts else 0

    def add(
        self,
        name: str,
        kind: ColumnKind,
        *,
        shape: tuple[int, ...] = (),
        categories: tuple[str, ...] = (),
    ) -> ArrayFile:
        """Start a column of numbers; its rows are zero until written."""
        path = self._path("npy")
        row_bytes = np.dtype(DTYPES[kind]).itemsize * int(np.prod(shape, dtype=object))
        self._check(name, self.rows * row_bytes)
        column = ArrayFile(path, name, kind, self.rows, shape, categories)
        self.columns.append(column)
        return column

    def add_text(self, name: str) -> TextFile:
        """Start a column of text."""
        column = TextFile(self._path("arrow"), name, self.rows)
        self.columns.append(column)
        return column

    def _path(self, suffix: str) -> Path:
        folder = self.folder / "columns"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{len(self.columns)}.{suffix}"

    def _check(self, name: str, size: int) -> None:
        taken = sum(
            c.rows * c.row_bytes for c in self.columns if isinstance(c, ArrayFile)
        )
        if taken + size > self.limits.output_bytes:
            raise too_large(
                "too_much_content",
                f"the columns up to {name!r} take {taken + size:,} bytes, "
                f"at most {self.limits.output_bytes:,} are allowed",
                "send fewer rows or smaller images",
                column=name,
            )
