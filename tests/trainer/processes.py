"""Real trainer processes, spoken to as a worker speaks to them."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.trainer.trainings import pictures

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0

Event = dict[str, Any]


def environment() -> dict[str, str]:
    """Return the environment of a trainer: one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def write_pictures(path: Path, rows: int = 44) -> Path:
    """Write the pictures as a file that a process can open."""
    columns = pictures(rows).columns
    np.savez(path, image=columns["image"][..., 0], label=columns["label"])
    return path


class Trainer:
    """A serving trainer, and what it has told."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "--serve"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.told: list[Event] = []
        self._rest = b""

    def say(self, message: dict[str, Any]) -> None:
        """Send an order or a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def order(self, what: dict[str, Any], dataset: Path, folder: Path) -> None:
        """Order a training whose checkpoints and model go into `folder`."""
        self.say(
            {
                "order": {
                    "job": "job_1",
                    "attempt": 1,
                    "spec": what,
                    "dataset": str(dataset),
                    "sources": [],
                    "checkpoint": None,
                    "checkpoints": str(folder / "checkpoints"),
                    "model": str(folder / "model"),
                    "frozen_cache": str(folder / "cache"),
                    "frozen_cache_bytes": 0,
                    "micro_batch": None,
                    "device": "cpu",
                    "threads": 1,
                    "checkpoint_seconds": 3600,
                }
            }
        )

    def hear(self, *kinds: str) -> Event:
        """Wait for the next event, or the next of some kinds, and return it."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            event = self._next(until)
            if not kinds or event["event"] in kinds:
                return event
        raise TimeoutError(kinds, self.told)

    def end(self) -> tuple[int, str]:
        """Wait for the exit; return its status and what went to the log."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.stderr is not None
        log = self.process.stderr.read().decode()
        return self.process.wait(PATIENCE_SECONDS), log

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _next(self, until: float) -> Event:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            left = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise TimeoutError(self.told)
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        event: Event = json.loads(line)
        self.told.append(event)
        return event
