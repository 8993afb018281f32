"""What the worker says: one order, then commands, read beside the training."""

from __future__ import annotations

import json
import os
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.process.commands import Commands

PIECE = 65536
ENDED: dict[str, Any] = {"command": "exit"}
"""Stands for the end of the stream: the worker is gone."""


class Listening:
    """Reads messages in a thread; stop and checkpoint are set at once.

    The thread reads the descriptor itself: a reader of ``sys.stdin`` that is still
    waiting when the interpreter ends would abort it.
    """

    def __init__(self, descriptor: int, commands: Commands) -> None:
        self._descriptor, self._commands = descriptor, commands
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        Thread(target=self._read, name="listening", daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for the next message and return it."""
        return self._messages.get()

    def _read(self) -> None:
        rest = b""
        while piece := os.read(self._descriptor, PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    self._take(json.loads(line))
        self._commands.stop.set()
        self._messages.put(ENDED)

    def _take(self, message: dict[str, Any]) -> None:
        command = message.get("command")
        if command == "stop":
            self._commands.stop.set()
        elif command == "checkpoint":
            self._commands.checkpoint.set()
        else:
            self._messages.put(message)
