"""A process that has everything imported and is copied for every attempt on the CPU.

Importing torch takes seconds, copying a process that has done it takes milliseconds.
The template itself computes nothing, so it has one thread and no state worth the name;
each copy serves one order and ends (see `trainer.process.serve`). It is not for GPUs:
what a driver keeps of a process does not survive being copied.

Standard input is a socket of whole messages. The worker sends its process id with
three descriptors, the copy's standard streams; the answer is the copy's process id.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from pathlib import Path

from trainer.process.serve import die_with_parent, serve

STREAMS = 3
MESSAGE_BYTES = 64
READY = b"ready"
ADOPTION_SECONDS = 10.0
THREADS = Path("/proc/self/task")


def template() -> int:
    """Copy this process on request until the worker is gone; the copies serve."""
    die_with_parent(os.getppid())
    channel = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    gc.collect()
    gc.freeze()  # what a collection never looks at, copies go on sharing
    if len(list(THREADS.iterdir())) > 1:
        sys.stderr.write(
            "an import started a thread: this process is not for copying\n"
        )
        return 1
    channel.send(READY)
    while True:
        message, streams, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, STREAMS)
        if not message:
            return 0
        pid = copied(int(message), streams, channel)
        if pid is None:
            return serve()
        for stream in streams:
            os.close(stream)
        channel.send(str(pid).encode())


def copied(worker: int, streams: list[int], channel: socket.socket) -> int | None:
    """Make a copy that is a child of the worker; return its id, and None in the copy.

    The process between us and the copy ends at once, and the worker, who adopts
    orphans, becomes the copy's parent: it can wait for it and the kernel ties their
    lives. The answer is 0 if the copy died before that.
    """
    told, telling = os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork() != 0:
            os._exit(0)
        channel.close()
        os.close(told)
        _become(worker, streams)
        os.write(telling, str(os.getpid()).encode())
        os.close(telling)
        return None
    os.close(telling)
    os.waitpid(between, 0)
    pid = os.read(told, MESSAGE_BYTES)
    os.close(told)
    return int(pid or 0)


def _become(worker: int, streams: list[int]) -> None:
    """Lead a group of one's own, on the given streams, as the worker's child."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    until = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != worker:
        if time.monotonic() > until:  # it is gone, or does not adopt
            os._exit(1)
        time.sleep(0.001)
