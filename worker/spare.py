"""The warm spare: one trainer that has everything imported before there is a job.

Importing torch takes seconds; a job that finds a spare starts in a fraction of one.
A spare serves one attempt and never a second. On the CPU the next spare is a copy of a
template, there at once; elsewhere it is started from nothing while the attempt runs.
"""

import logging
import os
from pathlib import Path

from worker.device import Device, trainer_environment
from worker.leftovers import Leftovers
from worker.settings import WorkerSettings
from worker.template import PATIENCE_SECONDS, Template
from worker.trainer_process import TrainerProcess

log = logging.getLogger(__name__)

TRIES = 3


class Spare:
    """Keeps one trainer ready for the next attempt."""

    def __init__(self, settings: WorkerSettings, device: Device, notes: Path) -> None:
        self._command = settings.trainer_command
        self._template_command = (
            settings.template_command if device.kind == "cpu" else None
        )
        self._environment = trainer_environment(
            device, settings.threads, dict(os.environ)
        )
        self._notes = Leftovers(notes)
        self._template: Template | None = None
        self._stillborn = 0
        """Templates in a row that died before they made a copy."""
        self._ready: TrainerProcess | None = None

    def warm(self) -> None:
        """See to it that a spare lives or is on its way.

        Must be called from the thread that stays: the trainer dies with it.
        """
        self._collect()
        if self._template is not None and not self._template.is_alive:
            self._bury_template()
        if self._ready is not None:
            return
        if self._template_command is None:
            self._hold(TrainerProcess.start(self._command, self._environment))
            return
        if self._template is None:
            self._template = Template(self._template_command, self._environment)
        self._template.ask()

    def is_coming(self, seconds: float) -> bool:
        """Wait so long for a spare; tell whether it is still on its way then."""
        self.warm()
        self._collect(seconds)
        template = self._template
        return self._ready is None and template is not None and template.is_alive

    def has_settled(self, seconds: float) -> bool:
        """Wait so long for a copy that was asked for; tell whether none is coming."""
        self._collect(seconds)
        return self._template is None or not self._template.is_asked

    def take(self) -> TrainerProcess:
        """Return a trainer that nobody has used and nobody will use again."""
        self.warm()
        self._collect(PATIENCE_SECONDS)
        if self._ready is None:  # the template failed: do without
            self._hold(TrainerProcess.start(self._command, self._environment))
        assert self._ready is not None
        taken, self._ready = self._ready, None
        return taken

    @property
    def pids(self) -> set[int]:
        """Return the process ids of the spare and of the template."""
        self._collect()
        kept = (self._ready, self._template)
        return {process.pid for process in kept if process is not None}

    def end(self) -> None:
        """End the spare and the template."""
        self._collect()
        if self._ready is not None:
            self._ready.end()
        if self._template is not None:
            self._template.end()
        self._ready = self._template = None

    def _collect(self, seconds: float = 0.0) -> None:
        """Take what the template has made, and bury a spare that died."""
        if self._ready is not None and self._ready.has_exited:
            self._ready.end()
            self._ready = None
        if self._ready is None and self._template is not None:
            made = self._template.receive(seconds)
            if made is not None:
                self._hold(made)

    def _bury_template(self) -> None:
        """Let a dead template go, and do without if templates die before any use."""
        assert self._template is not None
        self._template.end()
        self._stillborn = 0 if self._template.has_served else self._stillborn + 1
        self._template = None
        if self._stillborn >= TRIES:
            log.warning("trainers are started from nothing: their template fails")
            self._template_command = None

    def _hold(self, trainer: TrainerProcess) -> None:
        self._ready = trainer
        self._notes.add(trainer.pid)
