"""One entry of the cache of frozen outputs: how it is written, read and mistrusted.

    meta.json    what is held: names, shapes, SHA-256, seconds; and its own SHA-256
    0.npy, …     one array per layer at the cut, in the order of the rows

An entry is hashed whenever it is opened, so a torn, altered or half-deleted one is
found out. Whoever has one open holds a shared lock on its meta.json.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import weakref
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import torch

from trainer.frozen import room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

CPU = torch.device("cpu")
META = "meta.json"
META_LIMIT = 2**20
"""Bytes of meta.json that are read at most."""
BLOCK = 2**22
"""Bytes that are read and hashed at once: they stay in the processor's cache."""
JUDGED = 2**23
"""Bytes after which the time of reading is compared with that of computing."""
STORED_AS = {torch.bfloat16: torch.int16}
"""Types that NumPy lacks, and the type of the same width that stands for them."""


class Corrupt(Exception):
    """An entry is not what was written; it is thrown away and never reported."""


class Slower(Exception):
    """Outputs are computed in less time than it takes to read what was kept of them."""

    def __init__(self, reading: float, computing: float) -> None:
        self.reading, self.computing = reading, computing
        super().__init__(
            f"computed again, because reading what was kept takes {reading:.2g} s and "
            f"computing it {computing:.2g} s"
        )


UNREADABLE = (
    Corrupt,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
)
"""What JSON, NumPy and torch raise over a damaged entry."""


class Hold:
    """A shared lock on an entry, until it is closed or nobody has it any more.

    Raises:
        OSError: the entry is gone, or is being evicted.
    """

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / META, os.O_RDONLY)
        self.close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True)
class Entry:
    """The outputs kept under one key, in memory or mapped from disk."""

    key: str
    values: dict[str, Tensor]
    forward_seconds: float
    """What the forward pass took when the entry was made."""
    bytes: int
    mapped: bool = True
    """Whether the values lie on disk and are read when they are looked at."""
    held: Hold | None = field(default=None, compare=False, repr=False)
    """Keeps the entry from being evicted for as long as this object lives."""


class Writing:
    """An entry that is being written into a folder where nobody looks.

    With `gathers` its values are kept in memory too, where they were computed.
    """

    def __init__(self, folder: Path, rows: int, *, gathers: bool = False) -> None:
        self.folder, self.rows, self.gathers = folder, rows, gathers
        self.forward_seconds = 0.0
        self.reading_seconds = 0.0
        """What hashing and copying took so far: about what a later reading will, from
        files that the system still has in memory."""
        self.bytes = 0
        self.values: dict[str, Tensor] = {}
        self._start = 0
        self._arrays: dict[str, dict[str, Any]] = {}
        self._digests: list[Any] = []
        self._files: list[BinaryIO] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files, whatever has happened."""
        self._stack.close()

    def add(self, values: Mapping[str, Tensor], seconds: float) -> None:
        """Write the next run of rows, which took so long to compute."""
        self.forward_seconds += seconds
        for number, (name, value) in enumerate(values.items()):
            array = as_array(value)
            if name not in self._arrays:
                self._begin(number, name, value, array)
            self._files[number].write(array.data)
            self.bytes += array.nbytes
            started = time.perf_counter()
            self._digests[number].update(array.data)
            if self.gathers:
                self._gather(name, value)
            self.reading_seconds += time.perf_counter() - started
        self._start += len(next(iter(values.values())))

    def judge(self) -> None:
        """Go on only while reading this will not take longer than computing it.

        Raises: Slower.
        """
        reading, computing = self.reading_seconds, self.forward_seconds
        if self.bytes >= JUDGED and reading > computing:
            share = self._start / self.rows
            raise Slower(reading / share, computing / share)

    def finish(self) -> dict[str, Any]:
        """Write the description; return it."""
        self._stack.close()
        meta = {
            "forward_seconds": self.forward_seconds,
            "arrays": [
                {"name": name, **facts, "sha256": digest.hexdigest()}
                for (name, facts), digest in zip(
                    self._arrays.items(), self._digests, strict=True
                )
            ],
        }
        text = json.dumps({**meta, "sha256": _digest(meta)})
        (self.folder / META).write_text(text, encoding="utf-8")
        return meta

    def entry(self, key: str, meta: Mapping[str, Any]) -> Entry:
        """Return the entry as it was written; `meta` is what `finish` returned."""
        if not self.gathers:
            return mapped(key, self.folder, meta, Hold(self.folder))
        return Entry(key, self.values, self.forward_seconds, self.bytes, mapped=False)

    def _begin(self, number: int, name: str, value: Tensor, array: np.ndarray) -> None:
        file = self._stack.enter_context((self.folder / f"{number}.npy").open("wb"))
        shape = (self.rows, *array.shape[1:])
        _write_header(file, array.dtype, shape)
        self._arrays[name] = {"dtype": _dtype(value), "shape": list(shape)}
        self._files.append(file)
        self._digests.append(hashlib.sha256(usedforsecurity=False))

    def _gather(self, name: str, value: Tensor) -> None:
        if name not in self.values:
            shape = (self.rows, *value.shape[1:])
            self.values[name] = room.empty(shape, value.dtype, value.device)
        self.values[name][self._start : self._start + len(value)] = value


def unheld(folder: Path) -> bool:
    """Tell whether nobody has the entry open."""
    with suppress(OSError), (folder / META).open("rb") as file:
        return locked(file.fileno())
    return True


def opened(key: str, folder: Path, *, copied: bool = False) -> Entry:
    """Read all of an entry and check it against its description.

    Mapped, or with `copied` in memory.

    Raises:
        Slower: `copied`, and it would take longer than to compute it.
    """
    held = Hold(folder)
    try:
        meta = _described(folder)
        if copied:
            return _copied(key, folder, meta)
        return _checked(mapped(key, folder, meta, held), meta)
    except BaseException:
        held.close()
        raise


def _checked(entry: Entry, meta: Mapping[str, Any]) -> Entry:
    """Return a mapped entry, once all of it is read and found whole."""
    for facts in meta["arrays"]:
        array = as_array(entry.values[facts["name"]])
        digest = hashlib.sha256(array.data, usedforsecurity=False)
        if digest.hexdigest() != facts["sha256"]:
            raise Corrupt
    return entry


def _described(folder: Path) -> dict[str, Any]:
    """Read an entry's description and check it against its own hash."""
    with (folder / META).open("rb") as file:
        text = file.read(META_LIMIT + 1)
    if len(text) > META_LIMIT:
        raise Corrupt
    meta: dict[str, Any] = json.loads(text)
    if meta.pop("sha256") != _digest(meta):
        raise Corrupt
    return meta


def mapped(
    key: str, folder: Path, meta: Mapping[str, Any], held: Hold | None = None
) -> Entry:
    """Map the arrays of an entry; nothing is read yet."""
    values: dict[str, Tensor] = {}
    for number, facts in enumerate(meta["arrays"]):
        # Copy on write: torch has no tensors that cannot be written to.
        array = np.load(folder / f"{number}.npy", mmap_mode="c", allow_pickle=False)
        value = torch.from_numpy(array).view(getattr(torch, facts["dtype"]))
        if list(value.shape) != facts["shape"]:
            raise Corrupt
        values[facts["name"]] = value
    size = sum(value.nbytes for value in values.values())
    return Entry(key, values, float(meta["forward_seconds"]), size, held=held)


def _copied(key: str, folder: Path, meta: Mapping[str, Any]) -> Entry:
    """Read an entry into memory, hashing each block while it is near."""
    forward = float(meta["forward_seconds"])
    shapes = mapped(key, folder, meta).values
    whole = sum(value.nbytes for value in shapes.values())
    started, read = time.perf_counter(), 0

    def judge(count: int) -> None:
        nonlocal read
        read += count
        took = time.perf_counter() - started
        left = took / read * (whole - read)
        if read >= JUDGED and left > forward:
            raise Slower(took + left, forward)

    values: dict[str, Tensor] = {}
    for number, facts in enumerate(meta["arrays"]):
        name = facts["name"]
        values[name] = room.empty(shapes[name].shape, shapes[name].dtype, CPU)
        digest = _read(folder / f"{number}.npy", values[name], judge)
        if digest != facts["sha256"]:
            raise Corrupt
    return Entry(key, values, forward, whole, mapped=False)


def _read(path: Path, value: Tensor, judge: Callable[[int], None]) -> str:
    """Fill a tensor from the end of a file; return the SHA-256 of what was read."""
    digest = hashlib.sha256(usedforsecurity=False)
    space = as_array(value).reshape(-1).data.cast("B")
    with path.open("rb", buffering=0) as file:
        file.seek(-len(space), 2)
        for start in range(0, len(space), BLOCK):
            block = space[start : start + BLOCK]
            if file.readinto(block) != len(block):
                raise Corrupt
            digest.update(block)
            judge(len(block))
    return digest.hexdigest()


def locked(descriptor: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def as_array(value: Tensor) -> np.ndarray:
    """Return the tensor's memory, on the host, as an array that NumPy can name."""
    value = value.detach().cpu().contiguous()
    return value.view(STORED_AS.get(value.dtype, value.dtype)).numpy()


def _digest(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True)
    return hashlib.sha256(text.encode(), usedforsecurity=False).hexdigest()


def _write_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
