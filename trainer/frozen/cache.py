"""Outputs of frozen layers on disk, found again by what they were computed from.

    {root}/<key>/meta.json    what is held: names, shapes, SHA-256, seconds it took
    {root}/<key>/0.npy, …     one array per layer at the cut, in the order of the rows
    {root}/.locks/<key>       held by the process that is computing the entry

An entry appears by one rename and is hashed again whenever it is opened, so a torn,
altered or half-deleted one is found, thrown away and computed anew; nothing needs to
reach the disk at once. Deleting any of it at any time is safe: whoever has an entry
open keeps its pages. The last use is the time of meta.json; the entries used longest
ago make room for new ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from torch import Tensor

    Chunks = Iterable[tuple[dict[str, Tensor], float]]
    """Outputs of one run of rows after another, and the seconds each took."""

META = "meta.json"
META_LIMIT = 2**20
"""Bytes of meta.json that are read at most."""
WAIT_SECONDS = 120.0
"""How long one process waits for another that is computing the same entry."""
POLL_SECONDS = 0.05
ABANDONED_SECONDS = 60.0
"""Age at which something unfinished that nobody holds the lock of is deleted."""
STORED_AS = {torch.bfloat16: torch.int16}
"""Types that NumPy lacks, and the type of the same width that stands for them."""


@dataclass(frozen=True)
class Key:
    """Everything that the outputs of frozen layers depend on, to the last bit."""

    dataset: str
    """The data set's content hash."""
    rows: str
    """Hash of which rows, in which order."""
    preprocessing: str
    """Hash of the fitted preprocessing."""
    layers: str
    """Hash of the layers below the cut: architecture, parameters and buffers."""
    boundary: tuple[str, ...]
    """The layers whose outputs are kept."""
    dtype: str
    chunk: int
    """Rows in one forward pass: products of other sizes differ in the last bits."""
    route: str
    """Device, kernels and threads that computed them."""

    @property
    def digest(self) -> str:
        """Return the name of the entry."""
        text = json.dumps([asdict(self), torch.__version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """The outputs kept under one key, mapped from disk."""

    key: str
    values: dict[str, Tensor]
    forward_seconds: float
    """What the forward pass took when the entry was made."""
    bytes: int


class Corrupt(Exception):
    """An entry is not what was written; it is thrown away and never reported."""


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


class FrozenCache:
    """A bounded folder of frozen outputs that any number of processes share."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self.limit_bytes = limit_bytes

    def find(self, key: str) -> Entry | None:
        """Open the entry if it is there and whole, and note the use."""
        folder = self.root / key
        if not folder.exists():
            return None
        try:
            entry = _opened(key, folder)
            os.utime(folder / META)
        except UNREADABLE:
            self._discard(folder)
            return None
        return entry

    def find_or_fill(
        self, key: str, rows: int, compute: Callable[[], Chunks]
    ) -> tuple[Entry, bool]:
        """Return the entry and whether it was there already.

        One process computes; others that want the same entry wait for it, and compute
        for themselves if it takes longer than `WAIT_SECONDS`.

        Raises:
            OSError: the entry cannot be written.
        """
        if (entry := self.find(key)) is not None:
            return entry, True
        with self._lock(key):
            if (entry := self.find(key)) is not None:
                return entry, True
            entry = self._fill(key, rows, compute())
        with suppress(OSError):  # the folder was deleted meanwhile
            self.make_room(keep=key)
        return entry, False

    def make_room(self, keep: str | None = None) -> None:
        """Delete the entries used longest ago until the rest fits the bound."""
        self._sweep_unfinished()
        total = 0
        for _, size, folder in sorted(_entries(self.root), reverse=True):
            total += size
            if total > self.limit_bytes and folder.name != keep:
                total -= size
                self._discard(folder)

    def scratch(self, rows: int, chunks: Chunks) -> Entry:
        """Keep outputs on disk, under no key, for as long as they are in use."""
        with self._written("scratch", rows, chunks) as (_, entry):
            return entry

    def _fill(self, key: str, rows: int, chunks: Chunks) -> Entry:
        with self._written(key, rows, chunks) as (folder, entry):
            with suppress(OSError):  # somebody else was first; theirs is as good
                folder.rename(self.root / key)
            return entry

    @contextmanager
    def _written(
        self, key: str, rows: int, chunks: Chunks
    ) -> Iterator[tuple[Path, Entry]]:
        """Write an entry where nobody looks; it is gone afterwards unless renamed.

        Its values stay good wherever the files go: their pages are mapped.
        """
        folder = self.root / f".{key}.{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        try:
            meta = _write(folder, rows, chunks)
            (folder / META).write_text(json.dumps(meta), encoding="utf-8")
            yield folder, _mapped(key, folder, meta)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        """Hold the key's lock, or go on without it after waiting for too long.

        The kernel drops the lock of a process that dies.
        """
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + WAIT_SECONDS
        with (locks / key).open("w") as file:
            while not _locked(file.fileno()) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            yield

    def _sweep_unfinished(self) -> None:
        """Delete what dead processes left: unfinished folders, locks of nothing."""
        for folder in self.root.glob(".*.*"):
            if self._abandoned(folder, folder.name.split(".")[1]):
                shutil.rmtree(folder, ignore_errors=True)
        for lock in (self.root / ".locks").iterdir():
            if not (self.root / lock.name).exists() and self._abandoned(
                lock, lock.name
            ):
                lock.unlink(missing_ok=True)

    def _abandoned(self, path: Path, key: str) -> bool:
        """Tell whether something is old and no process holds the lock of its key."""
        try:
            if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
                return False
            with (self.root / ".locks" / key).open("a") as file:
                return _locked(file.fileno())
        except OSError:  # it went meanwhile
            return False

    def _discard(self, folder: Path) -> None:
        """Take an entry out of sight in one step, then delete it."""
        doomed = self.root / f".doomed.{secrets.token_hex(4)}"
        with suppress(OSError):  # it is gone already
            folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _write(folder: Path, rows: int, chunks: Chunks) -> dict[str, Any]:
    """Write one array per layer, chunk by chunk; return the entry's description."""
    arrays: dict[str, dict[str, Any]] = {}
    digests: list[Any] = []
    forward_seconds = 0.0
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        for values, seconds in chunks:
            forward_seconds += seconds
            for number, (name, value) in enumerate(values.items()):
                array = _array(value)
                if name not in arrays:
                    file = stack.enter_context((folder / f"{number}.npy").open("wb"))
                    shape = (rows, *array.shape[1:])
                    _write_header(file, array.dtype, shape)
                    arrays[name] = {"dtype": _dtype(value), "shape": list(shape)}
                    files.append(file)
                    digests.append(hashlib.sha256(usedforsecurity=False))
                files[number].write(array.data)
                digests[number].update(array.data)
    return {
        "forward_seconds": forward_seconds,
        "arrays": [
            {"name": name, **facts, "sha256": digest.hexdigest()}
            for (name, facts), digest in zip(arrays.items(), digests, strict=True)
        ],
    }


def _opened(key: str, folder: Path) -> Entry:
    """Map an entry and check all of it against its description."""
    path = folder / META
    if path.stat().st_size > META_LIMIT:
        raise Corrupt
    meta = json.loads(path.read_text(encoding="utf-8"))
    entry = _mapped(key, folder, meta)
    for facts in meta["arrays"]:
        array = _array(entry.values[facts["name"]])
        digest = hashlib.sha256(array.data, usedforsecurity=False)
        if digest.hexdigest() != facts["sha256"]:
            raise Corrupt
    return entry


def _mapped(key: str, folder: Path, meta: dict[str, Any]) -> Entry:
    values: dict[str, Tensor] = {}
    for number, facts in enumerate(meta["arrays"]):
        # Copy on write: torch has no tensors that cannot be written to.
        array = np.load(folder / f"{number}.npy", mmap_mode="c", allow_pickle=False)
        value = torch.from_numpy(array).view(getattr(torch, facts["dtype"]))
        if list(value.shape) != facts["shape"]:
            raise Corrupt
        values[facts["name"]] = value
    return Entry(
        key,
        values,
        float(meta["forward_seconds"]),
        sum(value.nbytes for value in values.values()),
    )


def _entries(root: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield (time of last use, bytes, folder) of each entry."""
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue
        with suppress(OSError):  # deleted meanwhile
            used_at = (folder / META).stat().st_mtime_ns
            yield used_at, sum(f.stat().st_size for f in folder.iterdir()), folder


def _locked(descriptor: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _array(value: Tensor) -> np.ndarray:
    """Return the tensor's memory, on the host, as an array that NumPy can name."""
    value = value.detach().cpu().contiguous()
    return value.view(STORED_AS.get(value.dtype, value.dtype)).numpy()


def _write_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
