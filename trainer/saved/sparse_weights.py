"""A model's weights without their zeros: `weights.sparse.safetensors`.

It holds what `weights.safetensors` holds, bit for bit, and is there where it is
smaller. It is a safetensors file, so any reader of those opens it. Its metadata has
`format` = "frostline-sparse-1" and `tensors`, a JSON object that gives each tensor's
`layout`, `dtype` and `shape`. A layout is the smallest of three:

    dense    `<tensor>` is the tensor itself
    bitmask  `<tensor>:mask` (uint8) has one bit for each number in row-major order, the
             first in the highest bit, set where the number is kept;
             `<tensor>:values` are the kept numbers in that order
    csr      compressed sparse rows of the matrix (shape[0], all else):
             `<tensor>:values`, `<tensor>:columns` (uint16, or uint32 where there are
             more than 65,536 columns) and `<tensor>:offsets` (uint32, rows + 1): row r
             has the values from offsets[r] to offsets[r + 1]

A number is left out if all its bits are 0, so a negative zero is kept.
"""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trainer.errors import ModelBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

SPARSE = "weights.sparse.safetensors"
FORMAT = "frostline-sparse-1"
NARROW = 2**16
"""Columns that two bytes can count."""


def save(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write the tensors, each in the layout that takes the fewest bytes."""
    parts: dict[str, Array] = {}
    table = {}
    for name, array in tensors.items():
        layout, packed = _packed(np.ascontiguousarray(array).reshape(array.shape))
        parts |= {f"{name}{suffix}": part for suffix, part in packed.items()}
        table[name] = {
            "layout": layout,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
        }
    save_file(parts, path, {"format": FORMAT, "tensors": json.dumps(table)})


def load(path: Path) -> dict[str, Array]:
    """Read the tensors back, zeros and all.

    Raises:
        ModelBroken: the file is not what `save` writes.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelBroken(path.parent, f"{path.name} is not {FORMAT}")
            table = json.loads(metadata["tensors"])
            return {
                name: _unpacked(name, about, file.get_tensor)
                for name, about in table.items()
            }
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise ModelBroken(path.parent, f"{path.name}: {problem}") from problem


def _packed(array: Array) -> tuple[str, dict[str, Array]]:
    """Return the layout with the fewest bytes, and its parts."""
    kept = _bits(array) != 0
    values = array.reshape(-1)[kept]
    rows = array.shape[0] if array.ndim > 1 else 1
    columns = array.size // rows if array.size else 0
    index: type[np.unsignedinteger[Any]] = np.uint16 if columns <= NARROW else np.uint32
    count = len(values)
    sizes = {
        "dense": array.nbytes,
        "bitmask": values.nbytes + -(-array.size // 8),
        "csr": values.nbytes + count * np.dtype(index).itemsize + 4 * (rows + 1),
    }
    layout = min(sizes, key=lambda each: sizes[each])
    if layout == "dense" or array.size >= 2**32:
        return "dense", {"": array}
    if layout == "bitmask":
        return layout, {":mask": np.packbits(kept), ":values": values}
    matrix = kept.reshape(rows, columns)
    offsets = np.zeros(rows + 1, np.uint32)
    np.cumsum(matrix.sum(1), out=offsets[1:], dtype=np.uint32)
    places = np.nonzero(matrix)[1].astype(index)
    return layout, {":values": values, ":columns": places, ":offsets": offsets}


def _unpacked(
    name: str, about: Mapping[str, Any], part: Callable[[str], Array]
) -> Array:
    if about["layout"] == "dense":
        return part(name)
    shape = tuple(about["shape"])
    array = np.zeros(prod(shape), about["dtype"])
    values = part(f"{name}:values")
    if about["layout"] == "bitmask":
        kept = np.unpackbits(part(f"{name}:mask"), count=array.size).astype(bool)
        array[kept] = values
    elif about["layout"] == "csr":
        offsets = part(f"{name}:offsets").astype(np.int64)
        rows = np.repeat(np.arange(shape[0]), np.diff(offsets))
        width = array.size // shape[0]
        array[rows * width + part(f"{name}:columns").astype(np.int64)] = values
    else:
        raise ValueError(f"unknown layout {about['layout']!r}")
    return array.reshape(shape)


def _bits(array: Array) -> Array:
    """Return the bits of each number, as a whole number or a truth value."""
    flat = array.reshape(-1)
    if array.dtype.kind != "f":
        return flat
    return flat.view(f"u{array.dtype.itemsize}")
