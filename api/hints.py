"""Hints to the workers, sent beside the requests and never before their commit."""

import threading
from collections import deque

from api.telemetry import Telemetry
from worker.queue import send

MOST_WAITING = 32
"""Hints kept while Redis is slow or away. A hint says "look", and a worker that looks
goes on until it finds nothing: a few of them wake everybody."""

PATIENCE_SECONDS = 1.0
"""Between two tries while Redis does not take them."""


class Hints:
    """A thread that sends hints, so that no answer waits for Redis."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._news = threading.Event()
        self._ending = threading.Event()
        self._telemetry = telemetry
        self._thread = threading.Thread(target=self._run, name="api-hints", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """End; what was not sent, the sweep sends again."""
        self._ending.set()
        self._news.set()
        self._thread.join(timeout=5)

    async def put(self, job_id: str) -> None:
        """Let a worker look soon."""
        self._waiting.append(job_id)
        self._news.set()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            while self._waiting:
                job_id = self._waiting.popleft()
                if send(job_id):
                    continue
                self._telemetry.hints_delayed.inc()
                self._waiting.appendleft(job_id)
                if self._ending.wait(PATIENCE_SECONDS):
                    return
            if self._ending.is_set():
                return
