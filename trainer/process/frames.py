"""Events on their way to the worker: one JSON object per line, figures in bundles."""

from __future__ import annotations

import json
import os
import time
from typing import Any

Event = dict[str, Any]

BUNDLE_SECONDS = 0.25
"""Figures and progress are sent at most this often; all else goes at once."""
BUNDLE_ROWS = 500


class Frames:
    """Writes events to a file descriptor that nothing else writes to.

    Metrics and progress are held back for a moment, so that a thousand short epochs do
    not become two thousand lines; the order of events is kept.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rows: list[dict[str, Any]] = []
        self._progress: Event | None = None
        self._due = 0.0  # the first step is told at once

    def send(self, event: Event) -> None:
        """Send an event, or hold it back for a moment."""
        if event["event"] == "metrics":
            self._rows += event["rows"]
        elif event["event"] == "progress":
            self._progress = event
        else:
            self.flush()
            self._write(event)
            return
        if time.monotonic() >= self._due or len(self._rows) >= BUNDLE_ROWS:
            self.flush()

    def flush(self) -> None:
        """Send what was held back."""
        if self._rows:
            self._write({"event": "metrics", "rows": self._rows})
            self._rows = []
        if self._progress is not None:
            self._write(self._progress)
            self._progress = None
            self._due = time.monotonic() + BUNDLE_SECONDS

    def _write(self, event: Event) -> None:
        line = memoryview(json.dumps(event, allow_nan=False).encode() + b"\n")
        while line:
            line = line[os.write(self.descriptor, line) :]
