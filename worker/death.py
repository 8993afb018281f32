"""Why a trainer died, told from evidence only.

The kernel kills with SIGKILL when memory runs out, but so does anybody: out of memory
is said only if the kernel's own counter moved while the trainer lived.
"""

import signal
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
VMSTAT = Path("/proc/vmstat")
SELF = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Death:
    """How an attempt ended that brought no result."""

    reason: str
    error: str
    exit_code: int | None = None
    signal: str | None = None


def out_of_memory_kills(
    cgroups: Path = CGROUPS, vmstat: Path = VMSTAT, own: Path = SELF
) -> int:
    """Return how often the kernel has killed for memory, as near to us as it tells.

    The control group's own counter (version 2, then version 1) if there is one, else
    the machine's.
    """
    for path in (*_counters(cgroups, own), vmstat):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            word, _, count = line.partition(" ")
            if word == "oom_kill" and count.strip().isdigit():
                return int(count)
    return 0


def _counters(cgroups: Path, own: Path) -> list[Path]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    found = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            found.append(cgroups / place.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            folder = cgroups / "memory" / place.lstrip("/")
            found.append(folder / "memory.oom_control")
    return [
        *found,
        cgroups / "memory.events",
        cgroups / "memory" / "memory.oom_control",
    ]


def explain(exit_code: int, *, killed_for_memory: bool) -> Death:
    """Say why a trainer ended that told nothing itself."""
    if exit_code >= 0:
        return Death(
            "infrastructure",
            f"the trainer ended with exit code {exit_code} and without a result; "
            "its log says more",
            exit_code=exit_code,
        )
    name = signal_name(-exit_code)
    if exit_code == -signal.SIGKILL and killed_for_memory:
        return Death(
            "out_of_memory",
            "the kernel killed the trainer because memory ran out",
            exit_code=exit_code,
            signal=name,
        )
    return Death(
        "infrastructure",
        f"the trainer was ended by {name}",
        exit_code=exit_code,
        signal=name,
    )


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
