"""The child that reads one upload: order in, data set or complaints out."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from catalog.ingest.errors import Refused, TooLarge, is_full, too_large
from catalog.ingest.order import OUT_OF_SPACE, Answer, Limits, Order

PR_SET_PDEATHSIG = 1
NICENESS = 5


def main(folder: Path, parent: int) -> int:
    """Read the upload in `folder` and write the answer beside it.

    A full disk has no room for an answer: the exit code tells of it.
    """
    _die_with(parent)
    order = Order.model_validate_json((folder / "order.json").read_bytes())
    _bound(order.limits)
    try:
        answer = _answered(order, folder)
        (folder / "answer.json").write_text(answer.model_dump_json())
    except OSError as error:
        if is_full(error):
            return OUT_OF_SPACE
        raise
    return 0


def _answered(order: Order, folder: Path) -> Answer:
    from catalog.ingest import finish  # noqa: PLC0415 - after the limits are set

    try:
        return finish.ingest(order, folder)
    except TooLarge as error:
        return Answer(refused=error.complaints, reason="too_large")
    except Refused as error:
        return Answer(refused=error.complaints)
    except MemoryError:
        complaints = too_large(
            "too_much_memory",
            "reading the upload takes more memory than "
            f"{order.limits.memory_bytes:,} bytes",
            "send it in smaller pieces, or as CSV, which is read row by row",
        ).complaints
        return Answer(refused=complaints, reason="too_large")


def _die_with(parent: int) -> None:
    """Ask Linux to end this process when the one that waits for it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def _bound(limits: Limits) -> None:
    """Bound memory, processor time and core files; give way to the API."""
    os.nice(NICENESS)
    seconds = int(limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Private memory only: mapped libraries do not count. The parent watches the rest.
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), int(sys.argv[2]))
    # Not by the usual end: threads of Arrow that still run then abort the process.
    os._exit(code)
