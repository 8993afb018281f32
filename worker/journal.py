"""What an attempt has to tell the ledger, kept in order until the ledger has it.

While the database cannot be reached the entries wait in a file of the attempt's
folder, bounded; when even that is full the supervising loop stops reading, so that the
trainer waits instead of anything being lost.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

BATCH = 500
"""Entries written in one transaction."""
SAMPLE = "layers"
"""Stands for no event: these have a table of their own."""
IN_MEMORY = 50_000
"""Entries kept in memory between two writes."""


@dataclass
class Batch:
    """The oldest entries that are not yet in the ledger."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    entries: int = 0
    spool_end: int | None = None
    """Where the spool goes on after this batch; None if it came from memory."""


class Journal:
    """Metric rows, figures of layers and events on their way to the ledger."""

    def __init__(self, spool: Path, limit_bytes: int) -> None:
        self._memory: deque[tuple[str, dict[str, Any]]] = deque()
        self._path = spool
        self._limit = limit_bytes
        self._spooled = 0
        self._written = 0
        self._read = 0

    def __len__(self) -> int:
        return len(self._memory) + self._spooled

    @property
    def is_full(self) -> bool:
        """Tell whether nothing more should be taken from the trainer."""
        return self._written >= self._limit or len(self._memory) >= IN_MEMORY

    def metric(self, row: dict[str, Any]) -> None:
        """Add one row of a metric."""
        self._memory.append(("", row))

    def sample(self, figures: dict[str, Any]) -> None:
        """Add the figures of all layers at one step."""
        self._memory.append((SAMPLE, figures))

    def event(self, kind: str, content: dict[str, Any]) -> None:
        """Add one event of the job's history."""
        self._memory.append((kind, content))

    def batch(self) -> Batch:
        """Return the oldest entries; they stay until `forget`."""
        found = Batch()
        if self._spooled:
            with self._path.open("rb") as stream:
                stream.seek(self._read)
                found.spool_end = self._read
                while found.entries < BATCH and (line := stream.readline()):
                    _add(found, *json.loads(line))
                    found.spool_end += len(line)
        else:
            for kind, content in islice(self._memory, BATCH):
                _add(found, kind, content)
        return found

    def forget(self, batch: Batch) -> None:
        """Drop the entries of a batch that was committed."""
        if batch.spool_end is None:
            for _ in range(batch.entries):
                self._memory.popleft()
            return
        self._read = batch.spool_end
        self._spooled -= batch.entries
        if not self._spooled:
            self._path.unlink(missing_ok=True)
            self._written = self._read = 0

    def spill(self) -> None:
        """Move what waits in memory to the disk, because the ledger is out of reach."""
        if not self._memory:
            return
        lines = b"".join(json.dumps(e).encode() + b"\n" for e in self._memory)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("r+b" if self._written else "wb") as stream:
                stream.seek(self._written)
                stream.write(lines)
        except OSError:  # a full disk: memory has to do, and then the trainer waits
            return
        self._written += len(lines)
        self._spooled += len(self._memory)
        self._memory.clear()


def _add(batch: Batch, kind: str, content: dict[str, Any]) -> None:
    if kind == SAMPLE:
        batch.samples.append(content)
    elif kind:
        batch.events.append((kind, content))
    else:
        batch.metrics.append(content)
    batch.entries += 1
