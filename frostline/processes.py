"""One child process of the embedded stack: started, watched, restarted, stopped.

No child outlives its parent, whatever kills the parent: the kernel is asked to send
SIGKILL to the child when the thread that made it ends (``PR_SET_PDEATHSIG``). That
follows the thread, so children are made by the main thread only.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

LOG_BYTES = 10 * 1024 * 1024
"""A log that is longer when its process starts is set aside as ``.log.1``."""
STEADY_SECONDS = 30.0
"""A process that lived this long is restarted at once when it dies."""
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0


@dataclass(frozen=True)
class Program:
    """What to run, and how it is called in messages and logs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """The working directory."""
    log: Path
    stop_seconds: float
    """How long it may take to end after SIGTERM before it is killed."""
    pass_fds: tuple[int, ...] = ()


def die_with(parent: int) -> None:
    """Make the calling process end when `parent`, which just made it, ends."""
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request took effect
        os._exit(1)


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start `program` in a session of its own, bound to the life of this process."""
    program.log.parent.mkdir(parents=True, exist_ok=True)
    if program.log.exists() and program.log.stat().st_size > LOG_BYTES:
        program.log.replace(program.log.with_suffix(".log.1"))
    parent = os.getpid()
    with program.log.open("ab") as log:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=program.folder,
            env=dict(program.environment),
            # A session of its own keeps the terminal's Ctrl-C for `frostline up`.
            start_new_session=True,
            pass_fds=program.pass_fds,
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 — one thread
        )


def ending(code: int) -> str:
    """Say in words how a process ended, from its return code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_lines(log: Path, count: int = 12) -> str:
    """Return the end of a log, for a message about the process that wrote it."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])


class Watched:
    """A program that is kept running until it is told to stop."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.deaths = 0
        """How often it died in a row without having lived for long."""
        self._started_at = time.monotonic()
        self._restart_at: float | None = None
        self._process: subprocess.Popen[bytes] | None = start(program)

    @property
    def pid(self) -> int | None:
        """Return the process id, or None between a death and the restart."""
        return self._process.pid if self._process else None

    def look(self) -> str | None:
        """Restart the process if it is due; return what happened, if anything did."""
        if self._process is None:
            return self._restart()
        code = self._process.poll()
        if code is None:
            return None
        self.kill()  # whatever it left in its session
        now = time.monotonic()
        steady = now - self._started_at >= STEADY_SECONDS
        self.deaths = 1 if steady else self.deaths + 1
        delay = FIRST_DELAY_SECONDS * 2 ** min(self.deaths - 1, 10)
        self._restart_at = now + min(delay, LONGEST_DELAY_SECONDS)
        self._process = None
        return f"{self.program.name} {ending(code)}"

    def _restart(self) -> str | None:
        if self._restart_at is None or time.monotonic() < self._restart_at:
            return None
        self._restart_at = None
        self._started_at = time.monotonic()
        self._process = start(self.program)
        return f"{self.program.name} is started again"

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process; it is not restarted any more."""
        self._restart_at = None
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stopped(self) -> bool:
        """Return whether there is no process (any more)."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Kill the process and everything that is left of its session."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def stop(watched: Sequence[Watched], hurry: Callable[[], bool]) -> list[str]:
    """Stop processes together; return the names of those that had to be killed.

    Each gets SIGTERM and its own time to end, or less if `hurry` says so. Then the
    whole session is killed, also of those that ended by themselves, so that nothing
    they started survives.
    """
    started = time.monotonic()
    for one in watched:
        one.ask_to_stop()
    late: list[str] = []
    waiting = list(watched)
    while waiting:
        waited = time.monotonic() - started
        for one in tuple(waiting):
            if one.stopped():
                waiting.remove(one)
            elif hurry() or waited > one.program.stop_seconds:
                late.append(one.program.name)
                waiting.remove(one)
        if waiting:
            time.sleep(0.02)
    for one in watched:
        one.kill()
    return late
