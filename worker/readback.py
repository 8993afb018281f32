"""A thread that reads files back while the supervising loop goes on.

One check at a time, in the order given; a finished check wakes the loop's `select`.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from worker.verify import NotAsTold

Check = Callable[[], None]
Done = Callable[[NotAsTold | OSError | None], None]


class Readback:
    """Runs checks of files, and hands their outcome over in the loop's own thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "readback")
        self._running: deque[tuple[Future[None], Done]] = deque()
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self.descriptor, False)

    @property
    def busy(self) -> bool:
        """Tell whether a check runs or its outcome was not handed over."""
        return bool(self._running)

    def check(self, check: Check, done: Done) -> None:
        """Run `check` in the thread; `collect` will call `done` with what it found."""
        future = self._thread.submit(check)
        self._running.append((future, done))
        future.add_done_callback(lambda _: os.write(self._bell, b"."))

    def collect(self) -> None:
        """Hand over the outcomes that are there."""
        while self._running and self._running[0][0].done():
            future, done = self._running.popleft()
            os.read(self.descriptor, 1)
            found = future.exception()
            if found is not None and not isinstance(found, NotAsTold | OSError):
                raise found
            done(found)

    def close(self) -> None:
        """Let the thread go, once it has done what it is doing."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        os.close(self.descriptor)
        os.close(self._bell)
