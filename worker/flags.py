"""What a worker's main process and its pool child tell each other: one shared page.

Made before the fork, so that both see the same bytes. Each field has one writer; a
signal handler may set the drain flag.
"""

import mmap
from typing import Final

_DRAINING: Final = 0
_JOB: Final = 64
_JOB_BYTES: Final = 64


class SharedFlags:
    """Facts of one worker, seen by its main process and by every pool child."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def draining(self) -> bool:
        """Tell whether the worker was asked to stop."""
        return self._page[_DRAINING] != 0

    def drain(self) -> None:
        """Say that the worker was asked to stop. Written by the main process."""
        self._page[_DRAINING] = 1

    @property
    def job_id(self) -> str | None:
        """Return the job whose attempt is supervised just now."""
        text = self._page[_JOB : _JOB + _JOB_BYTES].rstrip(b"\0")
        return text.decode(errors="replace") or None

    def hold(self, job_id: str | None) -> None:
        """Say which job is supervised. Written by the pool child."""
        text = (job_id or "").encode()[:_JOB_BYTES]
        self._page[_JOB : _JOB + _JOB_BYTES] = text.ljust(_JOB_BYTES, b"\0")
