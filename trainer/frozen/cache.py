"""Outputs of frozen layers on disk, found again by what they were computed from.

    {root}/<key>/             one entry; `frozen.entries` says what is in it
    {root}/.locks/<key>       held by the process that is computing the entry

An entry appears by one rename and is hashed again whenever it is opened, so a torn,
altered or half-deleted one is found, thrown away and computed anew; nothing needs to
reach the disk at once. Deleting any of it at any time is safe: whoever has an entry
open keeps its pages. The last use is the time of meta.json; the entries used longest
ago make room for new ones, except those that somebody has open.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from trainer.frozen.entries import (
    META,
    UNREADABLE,
    Entry,
    Writing,
    locked,
    opened,
    unheld,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    Chunk = tuple[dict[str, Tensor], float]
    """Outputs of one run of rows, and the seconds it took."""
    Chunks = Iterable[Chunk]

WAIT_SECONDS = 120.0
"""How long one process waits for another that computes the same entry and writes
nothing meanwhile."""
POLL_SECONDS = 0.05
ABANDONED_SECONDS = 60.0
"""Age at which something unfinished that nobody holds the lock of is deleted."""


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


class FrozenCache:
    """A bounded folder of frozen outputs that any number of processes share."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self.limit_bytes = limit_bytes

    def find(self, key: str, *, copied: bool = False) -> Entry | None:
        """Open the entry if it is there and whole, and note the use.

        Raises:
            Slower: with `copied`, it would take longer than to compute it.
        """
        folder = self.root / key
        if not folder.exists():
            return None
        try:
            entry = opened(key, folder, copied=copied)
            os.utime(folder / META)
        except BlockingIOError:  # it is being evicted
            return None
        except UNREADABLE:
            self._discard(folder)
            return None
        return entry

    def find_or_fill(
        self,
        key: str,
        rows: int,
        compute: Callable[[], Chunks],
        *,
        copied: bool = False,
    ) -> tuple[Entry, bool]:
        """Return the entry, with `copied` in memory, and whether it was there already.

        One process computes; others that want the same entry wait for as long as it
        gets on, and compute for themselves if it stands still for `WAIT_SECONDS`.

        Raises:
            OSError: the entry cannot be written.
            Slower: with `copied`, to read the entry takes longer than to compute it.
        """
        if (entry := self.find(key, copied=copied)) is not None:
            return entry, True
        with self._lock(key):
            if (entry := self.find(key, copied=copied)) is not None:
                return entry, True
            entry = self._fill(key, rows, compute, copied=copied)
        with suppress(OSError):  # the folder was deleted meanwhile
            self.make_room(keep=(key,))
        return entry, False

    def fill_missing(
        self,
        keys: Sequence[str],
        rows: int,
        compute: Callable[[Sequence[int]], Iterable[Sequence[Chunk]]],
    ) -> list[str]:
        """Fill in one pass those entries that nobody has filled or is filling.

        `compute` is given the positions of their keys, and yields for each run of rows
        one chunk per position. Return the keys that were filled.

        Raises:
            OSError: they cannot be written.
        """
        with ExitStack() as stack:
            mine = [
                number
                for number, key in enumerate(keys)
                if not (self.root / key).exists()
                and stack.enter_context(self._lock(key, waits=False))
                and not (self.root / key).exists()
            ]
            if not mine:
                return []
            writings = [
                stack.enter_context(self._writing(keys[number], rows))
                for number in mine
            ]
            for several in compute(mine):
                for writing, chunk in zip(writings, several, strict=True):
                    writing.add(*chunk)
            for number, writing in zip(mine, writings, strict=True):
                writing.finish()
                with suppress(OSError):  # somebody else was first
                    writing.folder.rename(self.root / keys[number])
        with suppress(OSError):  # the folder was deleted meanwhile
            self.make_room(keep=keys)
        return [keys[number] for number in mine]

    def make_room(self, keep: Sequence[str] = (), limit: int | None = None) -> None:
        """Delete the entries used longest ago until the rest fits the bound.

        An entry that somebody has open is not deleted.
        """
        self._sweep_unfinished()
        limit = self.limit_bytes if limit is None else limit
        total = 0
        for _, size, folder in sorted(_entries(self.root), reverse=True):
            total += size
            if total > limit and folder.name not in keep and unheld(folder):
                total -= size
                self._discard(folder)

    def scratch(self, rows: int, compute: Callable[[], Chunks]) -> Entry:
        """Keep outputs on disk, under no key, for as long as they are in use."""
        return self._fill("scratch", rows, compute, named=False)

    def free(self) -> int:
        """Return the bytes that may be written: what is free, and what can be freed."""
        folder = self.root
        try:
            while not folder.exists():
                folder = folder.parent
            free = shutil.disk_usage(folder).free
            if self.root.is_dir():
                free += sum(size for _, size, _ in _entries(self.root))
        except OSError:  # it is nobody's to read
            return 0
        return min(free, self.limit_bytes)

    def _fill(
        self,
        key: str,
        rows: int,
        compute: Callable[[], Chunks],
        *,
        copied: bool = False,
        named: bool = True,
    ) -> Entry:
        """Compute and write an entry; where the disk is full, once more without others.

        Raises: OSError, Slower.
        """
        try:
            return self._filled(key, rows, compute(), copied=copied, named=named)
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
            self.make_room(limit=0)
        return self._filled(key, rows, compute(), copied=copied, named=named)

    def _filled(
        self, key: str, rows: int, chunks: Chunks, *, copied: bool, named: bool
    ) -> Entry:
        with self._writing(key, rows, gathers=copied) as writing:
            for values, seconds in chunks:
                writing.add(values, seconds)
                if copied:
                    writing.judge()
            entry = writing.entry(key, writing.finish())
            if named:
                with suppress(OSError):  # somebody else was first; theirs is as good
                    writing.folder.rename(self.root / key)
            return entry

    @contextmanager
    def _writing(
        self, key: str, rows: int, *, gathers: bool = False
    ) -> Iterator[Writing]:
        """Write an entry where nobody looks; it is gone afterwards unless renamed.

        Its values stay good wherever the files go: their pages are mapped.
        """
        folder = self.root / f".{key}.{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        try:
            with Writing(folder, rows, gathers=gathers) as writing:
                yield writing
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _lock(self, key: str, *, waits: bool = True) -> Iterator[bool]:
        """Hold the key's lock, or go on without it after waiting for too long.

        The kernel drops the lock of a process that dies.
        """
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        started = time.time()
        with (locks / key).open("w") as file:
            while not (mine := locked(file.fileno())):
                if not waits or self._idle(key, started) > WAIT_SECONDS:
                    break
                time.sleep(POLL_SECONDS)
            yield mine

    def _idle(self, key: str, last: float) -> float:
        """Return the seconds since `last`, or since an entry was last written to."""
        for path in self.root.glob(f".{key}.*/*"):
            with suppress(OSError):  # it has its name by now
                last = max(last, path.stat().st_mtime)
        return time.time() - last

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
                return locked(file.fileno())
        except OSError:  # it went meanwhile
            return False

    def _discard(self, folder: Path) -> None:
        """Take an entry out of sight in one step, then delete it."""
        doomed = self.root / f".doomed.{secrets.token_hex(4)}"
        with suppress(OSError):  # it is gone already
            folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _entries(root: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield (time of last use, bytes, folder) of each entry."""
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue
        with suppress(OSError):  # deleted meanwhile
            used_at = (folder / META).stat().st_mtime_ns
            yield used_at, sum(f.stat().st_size for f in folder.iterdir()), folder
