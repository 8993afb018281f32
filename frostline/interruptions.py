"""Signals as something to wait for, instead of something that strikes anywhere."""

import os
import select
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


class Interruptions:
    """Count the wishes to stop, and end a wait early on any signal."""

    def __init__(self) -> None:
        self.count = 0
        """How often the person or the system asked to stop."""

    def __enter__(self) -> Self:
        """Take over the signals."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # `nohup` has it ignored, and means that.
        stops = [n for n in _STOPS if n != signal.SIGHUP or not _is_ignored(n)]
        self._before = {number: signal.signal(number, self._note) for number in stops}
        # A handler, even one that does nothing, lets a child's death end a wait.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def wait(self, seconds: float) -> bool:
        """Wait for a signal or `seconds`; return whether to stop."""
        if not self.count:
            select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):  # nothing to read: the time was up
            os.read(self._reader, 4096)
        return self.count > 0
