"""The warm spare: one trainer that has everything imported before there is a job.

Importing torch takes seconds; a job that finds a spare starts in a fraction of one.
A spare serves one attempt and never a second.
"""

import os
from pathlib import Path

from worker.device import Device, trainer_environment
from worker.leftovers import Leftovers
from worker.settings import WorkerSettings
from worker.trainer_process import TrainerProcess


class Spare:
    """Keeps one trainer ready for the next attempt."""

    def __init__(self, settings: WorkerSettings, device: Device, notes: Path) -> None:
        self._command = settings.trainer_command
        self._environment = trainer_environment(
            device, settings.threads, dict(os.environ)
        )
        self._notes = Leftovers(notes)
        self._ready: TrainerProcess | None = None

    def warm(self) -> None:
        """Start a spare if there is none that lives.

        Must be called from the thread that stays: the trainer dies with it.
        """
        if self._ready is not None and self._ready.has_exited:
            self._ready.end()
            self._ready = None
        if self._ready is None:
            self._ready = self.start()

    def take(self) -> TrainerProcess:
        """Return a trainer that nobody has used and nobody will use again."""
        self.warm()
        assert self._ready is not None
        taken, self._ready = self._ready, None
        return taken

    def start(self) -> TrainerProcess:
        """Start a trainer and note its process id for whoever comes after us."""
        trainer = TrainerProcess(self._command, self._environment)
        self._notes.add(trainer.pid)
        return trainer

    @property
    def pids(self) -> set[int]:
        """Return the process id of the spare, if there is one."""
        return set() if self._ready is None else {self._ready.pid}

    def end(self) -> None:
        """End the spare."""
        if self._ready is not None:
            self._ready.end()
            self._ready = None
