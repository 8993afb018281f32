"""An attempt's log file: what its trainer wrote to stderr, bounded.

A trainer may write a gigabyte. The file keeps the beginning and, because a crash is
told at the end, the last lines too; what was dropped between is counted.
"""

from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

TAIL = 64 * 1024


class AttemptLog:
    """Writes ``log.txt`` of one attempt, at most `limit` bytes and a tail."""

    def __init__(self, path: Path, limit: int) -> None:
        self._file: FileIO | None = None
        with suppress(OSError):  # a full disk must not end the training
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(path, "ab")
        self._left = limit - TAIL
        self._tail = bytearray()
        self._dropped = 0

    @classmethod
    def beside(cls, model: Path) -> Self:
        """Open the log of an export that no attempt belongs to."""
        return cls(model.with_name(f"{model.name}.log"), 4 * TAIL)

    def write(self, piece: bytes) -> None:
        """Append what a trainer wrote."""
        kept, rest = piece[: self._left], piece[self._left :]
        if kept:
            self._put(kept)
            self._left -= len(kept)
        if rest:
            self._tail += rest
            excess = max(0, len(self._tail) - TAIL)
            del self._tail[:excess]
            self._dropped += excess

    def say(self, sentence: str) -> None:
        """Append a line of the worker's own."""
        self.write(f"[worker] {sentence}\n".encode())

    def close(self) -> None:
        """Write the tail, with how much is missing before it."""
        if self._dropped:
            self._put(f"\n[worker] {self._dropped} bytes dropped here\n".encode())
        self._put(bytes(self._tail))
        if self._file is not None:
            self._file.close()

    def _put(self, piece: bytes) -> None:
        try:
            if self._file is not None:
                self._file.write(piece)
        except OSError:
            self._dropped += len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
