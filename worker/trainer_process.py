"""One trainer process: its pipes, its order, its commands, its end.

The trainer leads a process group of its own, so that whatever it started can be ended
with it, and dies with the worker's pool child.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from worker.frames import Frame, Lines, Unreadable, read
from worker.processes import die_with_parent, signal_group

PIECE = 256 * 1024
"""Bytes read at once from a pipe."""
PIPE_BYTES = 2**20

ENDED = b""


class TrainerProcess:
    """A trainer that is this process's child, and that will serve one attempt."""

    def __init__(
        self, pid: int, streams: tuple[int, int, int], reap: Callable[[], int]
    ) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = streams
        """Descriptors: orders go in, events and the log come out."""
        self.killed_by_us = False
        self._reap = reap
        self._exit_code: int | None = None
        self._lines = Lines()
        self._outgoing = bytearray()
        for descriptor in streams:
            os.set_blocking(descriptor, False)
        with suppress(OSError):  # room to run on while a write to the database lasts
            fcntl.fcntl(self.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start a trainer from nothing; it has yet to import what it needs."""
        ours, theirs = pipes()
        process = subprocess.Popen(
            command,
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[2],
            env=dict(environment),
            start_new_session=True,
            preexec_fn=bound_to(os.getpid()),  # noqa: PLW1509 - it calls the kernel only
        )
        for descriptor in theirs:
            os.close(descriptor)
        return cls(process.pid, ours, process.wait)

    @classmethod
    def adopt(cls, pid: int, streams: tuple[int, int, int]) -> Self:
        """Take over a child that another process made for us."""

        def reap() -> int:
            try:
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:  # ended as a stray; how, nobody knows any more
                return -signal.SIGKILL

        return cls(pid, streams, reap)

    @property
    def has_exited(self) -> bool:
        """Tell whether the trainer is dead, without reaping it.

        As long as it is not reaped its id, which is also its group's, is nobody else's.
        """
        if self._exit_code is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:  # reaped by whoever ends strays
            return True

    @property
    def has_outgoing(self) -> bool:
        """Tell whether something is left to write to the trainer."""
        return bool(self._outgoing)

    def say(self, message: Mapping[str, Any]) -> None:
        """Queue one order or command, and write what the pipe takes now."""
        self._outgoing += json.dumps(message, allow_nan=False).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what is queued, as far as the pipe takes it; never wait."""
        try:
            while self._outgoing:
                written = os.write(self.stdin, self._outgoing)
                del self._outgoing[:written]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it is gone or going; its exit tells the rest
            self._outgoing.clear()

    def read_frames(self) -> list[Frame | Unreadable] | None:
        """Return the events that have arrived; None when the stream has ended."""
        piece = _read(self.stdout)
        if piece is None:
            return []
        if piece == ENDED:
            return None
        return [
            Unreadable(problem=f"a line of more than {self._lines.longest} bytes")
            if line is None
            else read(line)
            for line in self._lines.feed(piece)
        ]

    def read_log(self) -> bytes | None:
        """Return what has arrived on stderr; None when it has ended."""
        piece = _read(self.stderr)
        return None if piece == ENDED else piece or b""

    def terminate(self) -> None:
        """Ask the whole group to end."""
        signal_group(self.pid, signal.SIGTERM)

    def abort(self) -> None:
        """Have the trainer write the stack of every thread to its log, and die."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)

    def kill(self) -> None:
        """Kill the whole group.

        The group is signalled even if its leader is dead, because what the leader
        started may live.
        """
        if self._exit_code is None:
            self.killed_by_us = self.killed_by_us or not self.has_exited
            signal_group(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the group, reap; return the exit status, negative for a signal."""
        if self._exit_code is None:
            self.kill()
            self._exit_code = self._reap()
            for descriptor in (self.stdin, self.stdout, self.stderr):
                os.close(descriptor)
        return self._exit_code


def pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Make the three streams of a trainer; return our ends and its ends."""
    order_out, order_in = os.pipe()
    events_out, events_in = os.pipe()
    log_out, log_in = os.pipe()
    return (order_in, events_out, log_out), (order_out, events_in, log_in)


def bound_to(parent: int) -> Callable[[], None]:
    """Return what ties a new process to its parent's life and forbids core files."""

    def bind() -> None:
        die_with_parent(parent)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return bind


def _read(descriptor: int) -> bytes | None:
    """Return a piece, ENDED at the end, None if nothing is there yet."""
    try:
        return os.read(descriptor, PIECE)
    except BlockingIOError:
        return None
