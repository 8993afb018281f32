"""A data set opened for training: its schema and its columns, from disk.

Here belongs reading what holds a data set: a stored folder (``dataset.json`` and
``columns/``), an ``.npz`` file, a folder of idx files. Columns are as
``trainer.spec.data.schema`` describes them; those of a stored folder are memory-mapped.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from trainer.data.texts import StoredTexts
from trainer.errors import NotADataset
from trainer.spec.data.schema import Column, Part, Schema, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.spec.data.schema import ColumnKind

Array = np.ndarray[Any, np.dtype[Any]]

PARTS = ("train", "validation", "test")
TARGETS = ("y", "label", "labels", "target")
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_PARTS = {"train": "train", "t10k": "test", "test": "test"}
COUNTED = 1000
"""Columns with more different values than this are not counted value by value."""


@dataclass(frozen=True)
class Dataset:
    """A data set that can be trained on."""

    schema: Schema
    columns: Mapping[str, Array]
    version: str
    """Names the content: two data sets with the same version are the same."""


def open_dataset(path: Path) -> Dataset:
    """Open a stored data set, an ``.npz`` file or a folder of idx files."""
    if (path / "dataset.json").is_file():
        return open_stored(path)
    if path.is_dir():
        return open_idx(path)
    if path.suffix == ".npz":
        return open_npz(path)
    raise NotADataset(path, "it is neither a stored data set, an .npz nor a folder")


class StoredColumns(dict[str, Array]):
    """The columns of a stored data set, each mapped into memory at its first use."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        super().__init__()
        self._folder, self._schema = folder, schema

    def __missing__(self, name: str) -> Array:
        """Map the column's file."""
        index = self._schema.index(name)
        path = self._folder / "columns" / f"{index}.npy"
        column: Any
        if self._schema.columns[index].kind == "text":
            path = path.with_suffix(".arrow")
            column = StoredTexts(path)
        else:
            try:
                column = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise NotADataset(path, str(error)) from error
        if len(column) != self._schema.rows:
            why = f"{len(column)} rows where the schema says {self._schema.rows}"
            raise NotADataset(path, why)
        self[name] = column
        return self[name]


def open_stored(folder: Path) -> Dataset:
    """Open a data set as the service stores it; a column is read when it is used."""
    try:
        schema = Schema.model_validate_json((folder / "dataset.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise NotADataset(folder, str(error)) from error
    return Dataset(schema, StoredColumns(folder, schema), folder.name)


def open_npz(path: Path) -> Dataset:
    """Open an ``.npz``: arrays ``x`` and ``y``, or ``x_train``, ``x_test``, …."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotADataset(path, str(error)) from error
    parts: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        part, column = _placed(name)
        parts.setdefault(part, {})[column] = array
    return described(path, parts, "npz")


def open_idx(folder: Path) -> Dataset:
    """Open idx files paired by name: ``train-images…`` with ``train-labels…``."""
    parts: dict[str, dict[str, Array]] = {}
    for path in sorted(folder.glob("*idx*ubyte*")):
        prefix, _, rest = path.name.partition("-")
        part = IDX_PARTS.get(prefix, prefix)
        name = "label" if rest.startswith("labels") else "image"
        parts.setdefault(part, {})[name] = read_idx(path)
    if not parts:
        raise NotADataset(folder, "it holds no dataset.json and no idx files")
    return described(folder, parts, "idx")


def read_idx(path: Path) -> NDArray[Any]:
    """Read one idx file, compressed or not.

    Source: Y. LeCun's description of the format on the MNIST page: two zero bytes, a
    type, the number of dimensions, the big-endian sizes, the values.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        dtype, rank = np.dtype(IDX_TYPES[raw[2]]), raw[3]
        shape = np.frombuffer(raw, ">i4", rank, offset=4).tolist()
        values = np.frombuffer(raw, dtype, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, zlib.error, KeyError, IndexError, ValueError) as error:
        raise NotADataset(path, f"not an idx file: {error}") from error
    return values.astype(dtype.newbyteorder("="), copy=False)


def _placed(name: str) -> tuple[str, str]:
    """Return the part and the column that an array's name stands for."""
    for part in PARTS:
        if name.endswith(f"_{part}"):
            return part, name.removesuffix(f"_{part}")
        if name.startswith(f"{part}_"):
            return part, name.removeprefix(f"{part}_")
    return "train", name


def described(path: Path, parts: dict[str, dict[str, Array]], source: str) -> Dataset:
    """Join the parts into columns and describe them."""
    ordered = [p for p in PARTS if p in parts] + [p for p in parts if p not in PARTS]
    names = list(parts[ordered[0]]) if ordered else []
    ranges: list[Part] = []
    start = 0
    for part in ordered:
        if set(parts[part]) != set(names):
            raise NotADataset(path, f"part {part!r} has other columns than the first")
        lengths = {len(a) if a.ndim else 0 for a in parts[part].values()}
        if len(lengths) != 1:
            raise NotADataset(path, f"part {part!r} has columns of unequal length")
        stop = start + lengths.pop()
        ranges.append(Part(name=part, start=start, stop=stop))
        start = stop
    if not start:
        raise NotADataset(path, "it has no rows")
    digest = hashlib.sha256()
    columns: dict[str, Array] = {}
    described: list[Column] = []
    for name in names:
        joined = np.concatenate([parts[part][name] for part in ordered])
        column, columns[name] = described_column(path, name, joined, ranges[0])
        digest.update(f"{name} {columns[name].dtype} {columns[name].shape}".encode())
        digest.update(columns[name].data)
        described.append(column)
    schema = Schema(
        rows=start,
        parts=tuple(ranges),
        columns=tuple(described),
        target=next((name for name in TARGETS if name in names), None),
        source=source,
    )
    return Dataset(schema, columns, digest.hexdigest())


def described_column(
    path: Path, name: str, raw: Array, train: Part
) -> tuple[Column, Array]:
    """Say what kind of column an array is, and return it as it is stored."""
    kind, stored, categories = _as_stored(path, name, raw)
    if stored.ndim > 1:
        return Column(name=name, kind=kind, shape=stored.shape[1:]), stored
    there = _there(kind, stored)
    present = stored[there]
    numeric = kind in {"number", "integer"} and present.size > 0
    values = tuple(_counted(stored, there, train, categories))
    return Column(
        name=name,
        kind=kind,
        missing=int(stored.size - present.size),
        distinct=len(values) or None,
        values=values,
        categories=categories,
        minimum=float(present.min()) if numeric else None,
        maximum=float(present.max()) if numeric else None,
        mean=float(present.mean()) if numeric else None,
        deviation=float(present.std()) if numeric else None,
    ), stored


def _as_stored(
    path: Path, name: str, raw: Array
) -> tuple[ColumnKind, Array, tuple[str, ...]]:
    """Return the kind of a raw array, its stored form and its categories."""
    if raw.dtype.kind in "US" and raw.ndim == 1:
        found, codes = np.unique(raw.astype(str), return_inverse=True)
        return "category", codes.astype(np.int32), tuple(found.tolist())
    if raw.dtype.kind not in "biuf":
        why = f"array {name!r} has type {raw.dtype} and {raw.ndim} dimensions"
        raise NotADataset(path, why)
    if raw.ndim == 1 and raw.dtype.kind == "b":
        return "boolean", raw.astype(np.uint8), ()
    if raw.ndim == 1 and raw.dtype.kind in "iu":
        return "integer", raw.astype(np.int64), ()
    if raw.ndim == 1:
        return "number", raw.astype(np.float64), ()
    if raw.dtype == np.uint8 and raw.ndim in {3, 4}:
        pixels = raw if raw.ndim == 4 else raw[..., np.newaxis]  # noqa: PLR2004
        return "image", np.ascontiguousarray(pixels), ()
    return "array", np.ascontiguousarray(raw, np.float32), ()


def _there(kind: ColumnKind, stored: Array) -> NDArray[np.bool_]:
    """Mark the rows that have a value; only numbers can lack one here."""
    if kind == "number":
        return ~np.isnan(stored)
    return np.ones(len(stored), bool)


def _counted(
    stored: Array, there: NDArray[np.bool_], train: Part, categories: tuple[str, ...]
) -> Iterator[Value]:
    """Count how often each value occurs, if there are few enough."""
    found, counts = np.unique(stored[there], return_counts=True)
    if len(found) > COUNTED:
        return
    first = stored[train.start : train.stop][there[train.start : train.stop]]
    trained, times = np.unique(first, return_counts=True)
    seen = dict(zip(trained.tolist(), times.tolist(), strict=True))
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        shown = categories[value] if categories else value
        yield Value(value=shown, count=count, train=seen.get(value, 0))
