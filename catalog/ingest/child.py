"""The parent's side: start the child that reads an upload, watch it, end it."""

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from catalog.ingest.errors import (
    OutOfSpace,
    ReaderCrashed,
    Refused,
    SenderGone,
    TooLarge,
    too_large,
)
from catalog.ingest.order import OUT_OF_SPACE, Answer, Order

log = logging.getLogger(__name__)

READER = "catalog.ingest.reader"
ROOT = Path(__file__).resolve().parents[2]
PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST_WAIT, LONGEST_WAIT = 0.005, 0.05


@dataclass(frozen=True)
class Bounds:
    """What a child may cost, and what to do where that is too little."""

    seconds: float
    memory_bytes: int
    if_slow: str = "send fewer rows"
    if_large: str = "send it in smaller pieces, or as CSV, which is read row by row"


def ingest(order: Order, folder: Path, gone: Event) -> Answer:
    """Have the upload in `folder` read by a child; return what it stored.

    Raises:
        Refused: the upload is not what it must be, or takes too much.
        SenderGone: `gone` was set meanwhile.
        OutOfSpace: the disk is full.
        ReaderCrashed: the child ended without an answer.
    """
    bounds = Bounds(order.limits.seconds, order.limits.memory_bytes)
    answer = run(READER, order.model_dump_json(), folder, bounds, gone)
    return _judged(Answer.model_validate_json(answer))


def run(reader: str, order: str, folder: Path, bounds: Bounds, gone: Event) -> bytes:
    """Have a reader answer an order in `folder`, as a bounded child; return the answer.

    Raises:
        TooLarge: it takes too much.
        SenderGone: `gone` was set meanwhile.
        OutOfSpace: the disk is full.
        ReaderCrashed: the child ended without an answer.
    """
    (folder / "order.json").write_text(order)
    errors = folder / "stderr.txt"
    limits = int(bounds.seconds) + 1, bounds.memory_bytes
    asked = [reader, str(folder), str(os.getpid()), *map(str, limits)]
    with errors.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "catalog.ingest.bounded", *asked],
            cwd=ROOT,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
        )
    try:
        _watch(child, bounds, gone)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
    if child.returncode == OUT_OF_SPACE:
        raise OutOfSpace
    answer = folder / "answer.json"
    if child.returncode != 0 or not answer.exists():
        raise _crash(child.returncode, errors)
    return answer.read_bytes()


def _watch(child: subprocess.Popen[bytes], bounds: Bounds, gone: Event) -> None:
    """Wait for the end, unless a bound is crossed or nobody waits any more."""
    deadline = time.monotonic() + bounds.seconds
    wait = FIRST_WAIT
    while True:
        try:
            child.wait(wait)
            return
        except subprocess.TimeoutExpired:
            wait = min(2 * wait, LONGEST_WAIT)
        if gone.is_set():
            raise SenderGone
        if time.monotonic() > deadline:
            raise too_large(
                "too_slow",
                f"reading the upload takes longer than {bounds.seconds:g} seconds",
                bounds.if_slow,
            )
        if _private_bytes(child.pid) > bounds.memory_bytes:
            raise too_large(
                "too_much_memory",
                "reading the upload takes more memory than "
                f"{bounds.memory_bytes:,} bytes",
                bounds.if_large,
            )


def _judged(answer: Answer) -> Answer:
    if answer.refused:
        kind = TooLarge if answer.reason == "too_large" else Refused
        raise kind(*answer.refused)
    return answer


def _crash(code: int, errors: Path) -> ReaderCrashed:
    said = errors.read_bytes()[-2_000:].decode(errors="replace")
    ending = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    log.error("the reader of an upload %s: %s", ending, said)
    return ReaderCrashed(ending)


def _environment(folder: Path) -> dict[str, str]:
    """Return what the child may know: no address, no password, one thread."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _private_bytes(process: int) -> int:
    """Return the memory that only this process holds; 0 where it cannot be seen."""
    try:
        sizes = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0
    resident, shared = int(sizes[1]), int(sizes[2])
    return (resident - shared) * PAGE
