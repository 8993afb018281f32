"""One trainer process: its pipes, its order, its commands, its end.

The trainer leads a process group of its own, so that whatever it started can be ended
with it, and dies with the worker's pool child (it asks the kernel for that itself).
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from worker.frames import Frame, Lines, Unreadable, read
from worker.processes import die_with_parent, signal_group

PIECE = 256 * 1024
"""Bytes read at once from a pipe."""

PIPE_BYTES = 2**20

ENDED = b""


class TrainerProcess:
    """A trainer that this process started, and that will serve one attempt."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            bufsize=0,
            # The trainer asks for this too, once it has imported what it needs.
            preexec_fn=lambda: _bind(parent),  # noqa: PLW1509
        )
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        self._widen()
        self._lines = Lines()
        self._outgoing = bytearray()
        self.pid = self._process.pid
        self.began_at = time.monotonic()
        self.killed_by_us = False

    @property
    def stdin(self) -> int:
        """Return the descriptor that orders and commands are written to."""
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    @property
    def stdout(self) -> int:
        """Return the descriptor that events are read from."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def stderr(self) -> int:
        """Return the descriptor that the log is read from."""
        assert self._process.stderr is not None
        return self._process.stderr.fileno()

    @property
    def has_exited(self) -> bool:
        """Tell whether the trainer is dead, without reaping it.

        As long as it is not reaped its id, which is also its group's, is nobody else's.
        """
        if self._process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

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
        if self._process.returncode is None:
            self.killed_by_us = self.killed_by_us or not self.has_exited
            signal_group(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the group, reap; return the exit status, negative for a signal."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return self._process.returncode

    def _widen(self) -> None:
        """Let the trainer run on while a write to the database takes a second."""
        with suppress(OSError):
            fcntl.fcntl(self.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _bind(parent: int) -> None:
    """Tie a new process to its parent's life, and keep its memory out of core files."""
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(descriptor: int) -> bytes | None:
    """Return a piece, ENDED at the end, None if nothing is there yet."""
    try:
        return os.read(descriptor, PIECE)
    except BlockingIOError:
        return None
