"""Facts about processes: who is alive, since when, and how to end a whole group.

A process id alone names nobody, because ids are given again; a pid with the time its
process started, on one boot of one machine, does.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GENERATIONS = 10


def boot_id() -> str:
    """Return what tells this boot of this machine from any other."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone.

    A zombie is gone: it runs nothing any more and only waits to be reaped.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Tell whether the process of that pid and start time still runs."""
    return start_time(pid) == started


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies.

    The parent may have died before the call: then nobody is left to wait for. The
    kernel watches the thread that forked, so a parent must fork from one that stays.
    """
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of whatever a child leaves behind, so that it can be ended."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """Return the ids of this process's children, dead ones included."""
    own, found = str(os.getpid()), set()
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                stat = (folder / "stat").read_text()
                if stat.rpartition(")")[2].split()[1] == own:
                    found.add(int(folder.name))
    return found


def end_strays(kept: set[int]) -> int:
    """End every child that is not `kept`, and what it leaves in turn; say how many."""
    ended = 0
    for _ in range(GENERATIONS):
        strays = children() - kept
        if not strays:
            break
        for pid in strays:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                ended += 1
    return ended


def signal_group(group: int, number: int) -> None:
    """Send a signal to every process of a group; a group that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
