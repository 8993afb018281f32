"""Uploads as tests make them, and what is read out of them, in this process."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog.ingest import finish
from catalog.ingest.errors import Refused
from catalog.ingest.order import Complaint, File, Limits, Options, Order
from trainer.spec.data.schema import Column, Schema

Content = bytes | str | Path


@dataclass
class Stored:
    """A data set as it lies on the disk."""

    folder: Path
    sha256: str
    report: Mapping[str, Any]
    schema: Schema
    preview: list[dict[str, Any]]

    def column(self, name: str) -> Column:
        """Return a column's description."""
        found = self.schema.column(name)
        assert found is not None
        return found

    def kinds(self) -> dict[str, str]:
        """Return the kind of each column."""
        return {column.name: column.kind for column in self.schema.columns}

    def parts(self) -> dict[str, int]:
        """Return the rows of each part, in order."""
        return {part.name: part.rows for part in self.schema.parts}

    def values(self, name: str) -> Any:
        """Return what is stored of a column, as the trainer reads it."""
        path = self.folder / "columns" / f"{self.schema.index(name)}.npy"
        if path.exists():
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with pa.OSFile(str(path.with_suffix(".arrow"))) as source:
            return pa.ipc.open_file(source).read_all()["text"].to_pylist()

    def warnings(self) -> set[tuple[str, str | None]]:
        """Return code and column of each warning."""
        return {(w["code"], w.get("column")) for w in self.report["warnings"]}


class Reader:
    """Reads uploads, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0

    def order(
        self, files: Mapping[str, Content], options: Options, limits: Limits
    ) -> tuple[Path, Order]:
        """Lay an upload out as the API does."""
        self._count += 1
        folder = self.folder / str(self._count)
        (folder / "files").mkdir(parents=True)
        listed = []
        for at, (name, content) in enumerate(files.items()):
            raw = content.read_bytes() if isinstance(content, Path) else content
            raw = raw.encode() if isinstance(raw, str) else raw
            (folder / "files" / str(at)).write_bytes(raw)
            listed.append(
                File(stored=str(at), name=name, bytes=len(raw), sha256="0" * 64)
            )
        return folder, Order(files=tuple(listed), options=options, limits=limits)

    def read(
        self,
        files: Content | Mapping[str, Content],
        *,
        limits: Limits | None = None,
        **options: Any,
    ) -> Stored:
        """Read an upload that is accepted."""
        named = files if isinstance(files, Mapping) else {"upload": files}
        folder, order = self.order(
            named, Options.model_validate(options), limits or Limits()
        )
        return self.finish(folder, order)

    def builtin(self, name: str) -> Stored:
        """Read a data set of scikit-learn."""
        folder, order = self.order({}, Options(), Limits())
        return self.finish(folder, order.model_copy(update={"builtin": name}))

    def finish(self, folder: Path, order: Order) -> Stored:
        """Carry out an order."""
        answer = finish.ingest(order, folder)
        dataset = folder / "dataset"
        assert answer.sha256 is not None
        return Stored(
            folder=dataset,
            sha256=answer.sha256,
            report=json.loads(json.dumps(answer.report)),
            schema=Schema.model_validate_json((dataset / "dataset.json").read_bytes()),
            preview=json.loads((dataset / "preview.json").read_bytes()),
        )

    def refused(
        self, files: Content | Mapping[str, Content], **options: Any
    ) -> tuple[Complaint, ...]:
        """Read an upload that is refused; return the complaints."""
        with pytest.raises(Refused) as caught:
            self.read(files, **options)
        assert all(complaint.remedy for complaint in caught.value.complaints)
        return caught.value.complaints


def npz(**arrays: Any) -> bytes:
    """Return the bytes of a .npz archive."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def png(width: int = 4, height: int = 3, mode: str = "RGB", colour: Any = 0) -> bytes:
    """Return the bytes of a PNG image of one colour."""
    packed = io.BytesIO()
    Image.new(mode, (width, height), colour).save(packed, "PNG")
    return packed.getvalue()


def zipped(files: Mapping[str, bytes], *, packed: bool = False) -> bytes:
    """Return the bytes of a zip archive."""
    archive = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(archive, "w", method) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return archive.getvalue()


def idx(values: Any) -> bytes:
    """Return an array as an uncompressed idx file of bytes."""
    array = np.asarray(values, np.uint8)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def parquet(**columns: Any) -> bytes:
    """Return the bytes of a Parquet file."""
    packed = io.BytesIO()
    pq.write_table(pa.table(columns), packed)
    return packed.getvalue()
