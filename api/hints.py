"""Hints to the workers, sent beside the requests and never before their commit."""

import queue
import threading

from api.telemetry import Telemetry
from worker.queue import send

MOST_WAITING = 1_000
"""Hints that may wait while Redis is slow; the sweep makes up for the rest."""


class Hints:
    """A thread that sends hints, so that no answer waits for Redis."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._telemetry = telemetry
        self._thread = threading.Thread(target=self._run, name="api-hints", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what is waiting, and end."""
        self._waiting.put(None)
        self._thread.join(timeout=5)

    async def put(self, job_id: str) -> None:
        """Let a worker look soon; forget it where too many wait already."""
        try:
            self._waiting.put_nowait(job_id)
        except queue.Full:
            self._telemetry.hints_lost.inc()

    def _run(self) -> None:
        while (job_id := self._waiting.get()) is not None:
            if not send(job_id):
                self._telemetry.hints_lost.inc()
