"""Files that are nothing but named arrays: safetensors and `.npz`."""

from __future__ import annotations

import io
from tokenize import TokenError
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from trainer.importing.archive import Archive
from trainer.importing.errors import damaged, unfit
from trainer.importing.found import Weights

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.spec.imports import ImportLimits

LARGEST_HEADER = 2**20
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, TokenError)
"""What numpy lets through when a header is no description of an array."""


def read_safetensors(path: Path, _: ImportLimits) -> Weights:
    """Return the tensors of a safetensors file, whose header its library checks."""
    tensors: dict[str, Array] = {}
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dictionary
                tensors[name] = _tensor(file, name)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged("the safetensors file", str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # how it ends without memory
            raise MemoryError from error
        raise
    return Weights("safetensors", tensors, ("torch",))


def _tensor(file: object, name: str) -> Array:
    try:
        values: Array = file.get_tensor(name)  # type: ignore[attr-defined]
    except TypeError as error:  # a type that numpy has not
        raise unfit(
            "unknown_type",
            f"{name!r} is stored as a type that numpy has not: {error}",
            "store it as float32",
        ) from error
    return values


def read_npz(path: Path, limits: ImportLimits) -> Weights:
    """Return the arrays of an `.npz` archive; pickled objects are refused."""
    archive = Archive(path, limits)
    tensors = {
        name.removesuffix(".npy"): _array(archive, name)
        for name in archive.members
        if name.endswith(".npy")
    }
    return Weights("npz", tensors, ("torch", "tensorflow"), is_ordered=True)


def _array(archive: Archive, name: str) -> Array:
    """Return one array, its declared size held against what is there."""
    content = archive.read(name)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = reader(stream, max_header_size=LARGEST_HEADER)
    except (*HEADER_ERRORS, RecursionError, MemoryError) as error:
        raise damaged(f"the array {name!r}", str(error)) from error
    if dtype.hasobject:
        raise unfit(
            "unsafe_pickle",
            f"the array {name!r} holds Python objects, which are pickles",
            "store numbers: array.astype(numpy.float32)",
        )
    raw = content[stream.tell() :]
    elements = 1
    for size in shape:
        elements *= int(size)
    if min((0, *shape)) < 0 or elements * dtype.itemsize != len(raw):
        raise damaged(
            f"the array {name!r}",
            f"{list(shape)} of {dtype} is declared, {len(raw):,} bytes are there",
        )
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
