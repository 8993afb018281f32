"""Whether a trainer still makes progress, told from its own steps.

A heartbeat proves that the supervisor lives, not that the training does.
"""

import statistics
import time
from collections import deque

SLOWER = 20
"""A trainer may be so many times slower than its median step."""
REMEMBERED = 101


class Pace:
    """Remembers when the trainer last got further, and how long its steps take."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._step_seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._step: int | None = None
        self._step_at = self._moved_at = time.monotonic()

    def moved(self) -> None:
        """Note a sign of progress that is no step: a checkpoint, an evaluation."""
        self._moved_at = time.monotonic()

    def stepped(self, step: int) -> None:
        """Note that the trainer has reached a step."""
        now = time.monotonic()
        if self._step is not None and step > self._step:
            self._step_seconds.append((now - self._step_at) / (step - self._step))
        if step != self._step:
            self._moved_at = now
            self._step, self._step_at = step, now

    @property
    def allowed_seconds(self) -> float:
        """Return how long the trainer may go without progress."""
        if not self._step_seconds:
            return self._stall_seconds
        median = statistics.median(self._step_seconds)
        return max(self._stall_seconds, SLOWER * median)

    @property
    def has_stalled(self) -> bool:
        """Tell whether the trainer has gone too long without progress."""
        return time.monotonic() - self._moved_at > self.allowed_seconds
