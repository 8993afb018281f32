"""Which trainers a worker has started, noted on disk for its next incarnation.

The kernel ends trainers with their worker; this is the second lock on that door. A
note is a process id with its start time, so a reused id is never signalled.
"""

import json
import signal
from pathlib import Path

from worker.processes import boot_id, is_alive, signal_group, start_time

REMEMBERED = 1000


class Leftovers:
    """The trainers that one worker has started and not seen end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, pid: int) -> None:
        """Note a trainer that was just started."""
        started = start_time(pid)
        if started is None:
            return
        alive = [n for n in self._notes()[-REMEMBERED:] if is_alive(n[0], n[1])]
        self._write([*alive, (pid, started)])

    def kill(self) -> int:
        """End every noted trainer that still runs; return how many there were."""
        alive = [pid for pid, started in self._notes() if is_alive(pid, started)]
        for pid in alive:
            signal_group(pid, signal.SIGKILL)
        self._path.unlink(missing_ok=True)
        return len(alive)

    def _write(self, notes: list[tuple[int, int]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"boot": boot_id(), "trainers": notes}))
        new.replace(self._path)

    def _notes(self) -> list[tuple[int, int]]:
        try:
            found = json.loads(self._path.read_text())
            notes = [(int(pid), int(started)) for pid, started in found["trainers"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return notes if found["boot"] == boot_id() else []
