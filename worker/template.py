"""The worker's end of a trainer's template: a process that is copied for each attempt.

A copy is there in milliseconds, where a trainer that starts from nothing imports for
seconds. The template is a convenience: while it is not ready, or gone, trainers are
started from nothing, and only devices that survive a copy have one.
"""

import logging
import os
import select
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

from worker.trainer_process import TrainerProcess, bound_to, pipes

log = logging.getLogger(__name__)

ANSWER_BYTES: Final = 64
READY: Final = b"ready"
PATIENCE_SECONDS: Final = 30.0
"""How long a copy may take to appear, the template's own imports among it."""


class Template:
    """A process with everything imported, and the copy that it was asked for."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=bound_to(os.getpid()),  # noqa: PLW1509 - it calls the kernel only
        )
        theirs.close()
        self.pid = self._process.pid
        self.has_served = False
        """Whether it has made a copy."""
        self._asked: tuple[int, int, int] | None = None
        """Our ends of the streams of the copy that was asked for."""

    @property
    def is_alive(self) -> bool:
        """Tell whether copies can still be asked for."""
        return self._process.poll() is None

    @property
    def is_asked(self) -> bool:
        """Tell whether a copy is on its way."""
        return self._asked is not None

    def ask(self) -> None:
        """Ask for a copy, if none is on its way; do not wait for it."""
        if self._asked is not None:
            return
        ours, theirs = pipes()
        try:
            socket.send_fds(self._channel, [str(os.getpid()).encode()], list(theirs))
        except OSError as error:
            log.warning("the trainers' template is gone: %s", error)
            _close(ours)
        else:
            self._asked = ours
        _close(theirs)

    def receive(self, seconds: float = 0.0) -> TrainerProcess | None:
        """Return the copy that was asked for, if it appears within so many seconds."""
        until = time.monotonic() + seconds
        while self._asked is not None:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._channel], [], [], left)[0]:
                return None
            answer = self._answer()
            if answer == READY:
                continue
            streams, self._asked = self._asked, None
            if answer.isdigit() and int(answer) > 0:
                self.has_served = True
                return TrainerProcess.adopt(int(answer), streams)
            _close(streams)
        return None

    def end(self) -> None:
        """End the template; the copies that it made live on."""
        self._process.kill()
        self._process.wait()
        self._channel.close()
        if self._asked is not None:
            _close(self._asked)

    def _answer(self) -> bytes:
        try:
            return self._channel.recv(ANSWER_BYTES)
        except OSError:  # it died
            return b""


def _close(descriptors: tuple[int, int, int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
