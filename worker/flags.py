"""What the worker's main process tells its pool child: one shared page.

Made before the fork, so that both see the same bytes; a flag is one byte, which is
written and read whole, and a signal handler may set it.
"""

import mmap
from typing import Final

_DRAINING: Final = 0


class SharedFlags:
    """Flags of one worker, seen by its main process and by every pool child."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def draining(self) -> bool:
        """Tell whether the worker was asked to stop."""
        return self._page[_DRAINING] != 0

    def drain(self) -> None:
        """Say that the worker was asked to stop."""
        self._page[_DRAINING] = 1
