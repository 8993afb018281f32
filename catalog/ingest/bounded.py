"""The child's side: bound this process, then let a reader answer what was asked.

    python -m catalog.ingest.bounded READER FOLDER PARENT SECONDS BYTES

READER is a module with ``answered(order, folder)``, from the text of ``order.json`` to
that of ``answer.json``. It is imported once the bounds hold, so that what this package
may not import can be started all the same.
"""

import ctypes
import os
import resource
import signal
import sys
from importlib import import_module
from pathlib import Path

from catalog.ingest.errors import is_full
from catalog.ingest.order import OUT_OF_SPACE

PR_SET_PDEATHSIG = 1
NICENESS = 5


def main(reader: str, folder: Path, parent: int, seconds: int, memory: int) -> int:
    """Have `reader` answer the order in `folder`; the answer lies beside it.

    A full disk has no room for an answer: the exit code tells of it.
    """
    _die_with(parent)
    _bound(seconds, memory)
    answered = import_module(reader).answered
    try:
        answer = answered((folder / "order.json").read_text(), folder)
        (folder / "answer.json").write_text(answer)
    except OSError as error:
        if is_full(error):
            return OUT_OF_SPACE
        raise
    return 0


def _die_with(parent: int) -> None:
    """Ask Linux to end this process when the one that waits for it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def _bound(seconds: int, memory: int) -> None:
    """Bound memory, processor time and core files; give way to the API."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Private memory only: mapped libraries do not count. The parent watches the rest.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    code = main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6]))
    sys.stdout.flush()
    # Not by the usual end: threads of libraries that still run then abort the process.
    os._exit(code)
