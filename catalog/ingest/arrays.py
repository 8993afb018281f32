"""NumPy archives: ``x`` and ``y``, perhaps in parts, or named columns."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from catalog.ingest import archive
from catalog.ingest.columns import (
    NO_CATEGORY,
    NO_DATE,
    Array,
    Draft,
    Upload,
    image_shape,
)
from catalog.ingest.errors import Refused, refuse
from catalog.ingest.kinds import CATEGORIES
from trainer.spec.data.schema import ColumnKind

BLOCK = 4 * 1024**2
WHOLE = 256 * 1024**2
"""Largest array that may be stored by columns (Fortran order), in bytes."""
PART = re.compile(r"(.+?)_(train|validation|val|test)\Z")
TARGET = re.compile(r"y(_[a-z]+)?")
PARTS = ("train", "validation", "test")


@dataclass
class Member:
    """One array of the archive, read row by row."""

    zipped: zipfile.ZipFile
    entry: zipfile.ZipInfo
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int

    @property
    def rows(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows) in blocks of bounded size."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        step = max(1, BLOCK // max(row_bytes, 1))
        try:
            with self.zipped.open(self.entry) as stream:
                stream.read(self.offset)
                if self.fortran:
                    flat = np.frombuffer(stream.read(), self.dtype)
                    yield 0, flat.reshape(self.shape, order="F")
                    return
                for start in range(0, self.rows, step):
                    count = min(step, self.rows - start)
                    block = stream.read(count * row_bytes)
                    values = np.frombuffer(block, self.dtype)
                    yield start, values.reshape(count, *self.shape[1:])
        except archive.BROKEN as error:
            raise archive.damaged(error, self.entry.filename) from None


def read(upload: Upload, draft: Draft) -> None:
    """Store a .npz archive."""
    with archive.opened(upload.path(upload.files[0]), upload.limits) as zipped:
        members = [_member(zipped, entry) for entry in zipped.infolist()]
        columns, sizes = _arranged(members)
        draft.source = "npz"
        draft.options |= {"format": "npz"}
        draft.set_parts(sizes)
        for name, by_part in columns.items():
            _store(name, [by_part[part] for part, _ in sizes], draft)
    draft.target = upload.options.target or ("y" if "y" in columns else None)
    if draft.target is not None and draft.target not in columns:
        raise refuse(
            "unknown_column",
            f"`target` names {draft.target!r}, no array",
            "the columns are " + ", ".join(columns),
            column=draft.target,
        )
    draft.options["kinds"] = {c.name: c.kind for c in draft.columns}


def _member(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Member:
    """Read one array's header, and refuse what is no plain array."""
    name = entry.filename.removesuffix(".npy")
    try:
        with zipped.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            reader = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = reader(stream)
            offset = stream.tell()
    except archive.BROKEN as error:
        raise archive.damaged(error, entry.filename) from None
    if dtype.hasobject:
        raise refuse(
            "pickled_objects",
            f"the array {name!r} holds Python objects, which are never loaded",
            "save arrays of numbers or strings (dtype other than object)",
            column=name,
        )
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    if entry.file_size - offset != size:
        raise refuse(
            "damaged_file",
            f"the array {name!r} declares {size:,} bytes, the archive holds "
            f"{entry.file_size - offset:,}",
            "the file seems to be cut off or damaged: write and send it again",
            column=name,
        )
    if fortran and len(shape) > 1 and size > WHOLE:
        raise refuse(
            "fortran_order",
            f"the array {name!r} is stored by columns, which cannot be read row by row",
            "save numpy.ascontiguousarray(array)",
            column=name,
        )
    return Member(zipped, entry, name, dtype, shape, fortran and len(shape) > 1, offset)


def _arranged(
    members: list[Member],
) -> tuple[dict[str, dict[str, Member]], list[tuple[str, int]]]:
    """Order the arrays by column and part, and check that their lengths agree."""
    columns: dict[str, dict[str, Member]] = {}
    for member in members:
        if not member.shape:
            raise _refuse_shape(member, "is a single value")
        match = PART.fullmatch(member.name)
        name, part = match.groups() if match else (member.name, "train")
        part = "validation" if part == "val" else part
        if columns.setdefault(name, {}).setdefault(part, member) is not member:
            raise refuse(
                "duplicate_column",
                f"the array {member.name!r} occurs twice",
                f"keep one of {name} and {name}_{part}",
                column=name,
            )
    if not columns:
        raise refuse("no_rows", "the archive holds no array", "save x and y in it")
    sizes: list[tuple[str, int]] = []
    for part in PARTS:
        found = {name: by[part] for name, by in columns.items() if part in by}
        if found and len(found) < len(columns):
            lacking = next(name for name in columns if name not in found)
            raise refuse(
                "missing_array",
                f"the part {part!r} has {', '.join(found)} but not {lacking!r}",
                f"save {lacking}{'' if part == 'train' else '_' + part} too",
                column=lacking,
            )
        rows = {member.rows for member in found.values()}
        if len(rows) > 1:
            lengths = ", ".join(f"{m.name}: {m.rows:,}" for m in found.values())
            raise refuse(
                "unequal_lengths",
                f"the arrays differ in length ({lengths})",
                "save arrays whose first axes are the same rows",
            )
        if rows and rows != {0}:
            sizes.append((part, rows.pop()))
    if not sizes or sizes[0][0] != "train":
        raise refuse(
            "no_rows", "the arrays have no rows to train on", "save rows in them"
        )
    return columns, sizes


def _store(name: str, members: list[Member], draft: Draft) -> None:
    shapes = {member.shape[1:] for member in members}
    if len(shapes) > 1:
        raise refuse(
            "shape_mismatch",
            f"the parts of {name!r} have rows of the shapes "
            + " and ".join(map(str, sorted(shapes))),
            "save all parts with the same shape",
            column=name,
        )
    first = members[0]
    kind, shape = _kind(first)
    if any(_kind(member)[0] != kind for member in members):
        raise refuse(
            "mixed_types",
            f"the parts of {name!r} differ in type: "
            + ", ".join(str(m.dtype) for m in members),
            "save all parts with the same dtype",
            column=name,
        )
    categories = _categories(name, members) if kind == "category" else ()
    stored = draft.add(name, kind, shape=shape, categories=categories)
    for part, member in zip(draft.parts, members, strict=True):
        for start, values in member.blocks():
            block = _converted(values, kind, categories)
            stored.write(part.start + start, block.reshape(len(values), *shape))


def _kind(member: Member) -> tuple[ColumnKind, tuple[int, ...]]:
    shape, code = member.shape[1:], member.dtype.kind
    if shape == (1,) and TARGET.fullmatch(member.name):
        shape = ()  # a column vector of targets is a column
    if code not in "biufUM":
        raise refuse(
            "unknown_type",
            f"the array {member.name!r} has the type {member.dtype}, which "
            "cannot be trained on",
            "save numbers, booleans, strings or dates",
            column=member.name,
        )
    if not shape:
        if member.dtype == np.uint64:
            return "number", ()
        return {
            "b": "boolean",
            "i": "integer",
            "u": "integer",
            "f": "number",
            "U": "category",
            "M": "date",
        }[code], ()  # type: ignore[return-value]
    if 0 in shape:
        raise _refuse_shape(member, f"has rows of the shape {shape}")
    if code in "UM":
        raise _refuse_shape(member, "holds strings or dates in more than one dimension")
    if member.dtype == np.uint8 and (image := image_shape(shape)):
        return "image", image
    return "array", shape


def _converted(values: Array, kind: ColumnKind, categories: tuple[str, ...]) -> Array:
    if kind == "boolean":
        return np.where(values, 1, 0).astype(np.uint8)
    if kind == "date":
        times = values.astype("datetime64[us]").astype(np.int64)
        assert np.iinfo(np.int64).min == NO_DATE  # what NaT becomes
        return times
    if kind == "category":
        order = np.array(categories or ("",))
        codes = np.searchsorted(order, values)
        return np.where(values == "", NO_CATEGORY, codes)
    return values


def _categories(name: str, members: list[Member]) -> tuple[str, ...]:
    found: set[str] = set()
    for member in members:
        for _, values in member.blocks():
            found |= set(np.unique(values).tolist())
            if len(found) > CATEGORIES:
                raise refuse(
                    "too_many_categories",
                    f"the array {name!r} has more than "
                    f"{CATEGORIES:,} different strings",
                    "send text in a CSV, Parquet or JSON Lines file",
                    column=name,
                )
    return tuple(sorted(found - {""}))


def _refuse_shape(member: Member, what: str) -> Refused:
    return refuse(
        "wrong_shape",
        f"the array {member.name!r} {what}",
        "save arrays whose first axis is the row",
        column=member.name,
    )
