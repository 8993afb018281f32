"""The child that reads one foreign model: order in, model folder or reasons out.

It is started with nothing but a folder and its parent's number, bounds its own memory
and time before the first byte is read, and dies with its parent.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
from pathlib import Path

from trainer.spec.imports import ImportAnswer, ImportLimits, ImportOrder, ImportProblem

PR_SET_PDEATHSIG = 1
NICENESS = 5
OUT_OF_SPACE = 28
"""Exit code where the disk is full: there is no room for an answer."""


def main(folder: Path, parent: int) -> int:
    """Import what `order.json` asks for and write `answer.json` beside it."""
    _die_with(parent)
    order = ImportOrder.model_validate_json((folder / "order.json").read_bytes())
    _bound(order.limits)
    try:
        answer = _answered(order, folder)
        (folder / "answer.json").write_text(answer.model_dump_json())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return OUT_OF_SPACE
        raise
    return 0


def _answered(order: ImportOrder, folder: Path) -> ImportAnswer:
    from trainer.importing.reading import answered  # noqa: PLC0415 - after the limits

    try:
        return answered(order, folder)
    except (MemoryError, RecursionError) as error:
        problem = ImportProblem(
            pointer="/file",
            code="too_much_memory",
            detail="reading the model takes more memory than "
            f"{order.limits.memory_bytes:,} bytes ({type(error).__name__})",
        )
        return ImportAnswer(refused=(problem,), reason="too_large")


def _die_with(parent: int) -> None:
    """Ask Linux to end this process when the one that waits for it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def _bound(limits: ImportLimits) -> None:
    """Bound memory, processor time and core files; give way to the API."""
    os.nice(NICENESS)
    seconds = int(limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)  # ONNX Runtime's threads may still run
