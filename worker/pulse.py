"""The thread of a worker's main process: it beats for the worker and sweeps the ledger.

The main process forks pool children, and a fork while this thread is inside a library
would hand the child that library's locks, held by nobody. So the two take turns.
"""

import logging
import os
import threading
import time

from catalog.errors import DatabaseUnavailable
from worker.incarnation import Incarnation
from worker.settings import WorkerSettings
from worker.sweep import sweep_once

log = logging.getLogger(__name__)

_turn = threading.Lock()


class Pulse:
    """Beats and sweeps until it is stopped."""

    def __init__(self, incarnation: Incarnation, settings: WorkerSettings) -> None:
        self._incarnation, self._settings = incarnation, settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin, and from now on fork only between two beats."""
        os.register_at_fork(
            before=_turn.acquire,
            after_in_parent=_turn.release,
            after_in_child=_turn.release,
        )
        self._thread.start()

    def stop(self) -> None:
        """End, after what is being done."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        beat_at = sweep_at = 0.0
        while not self._stop.wait(min(1.0, self._settings.sweep_seconds)):
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self._settings.heartbeat_seconds
                self._beat()
            if now >= sweep_at:
                sweep_at = now + self._settings.sweep_seconds
                with _turn:
                    sweep_once()

    def _beat(self) -> None:
        with _turn:
            try:
                self._incarnation.beat()
            except DatabaseUnavailable as away:
                log.warning("no beat: %s", away)
