"""Forms that people asked for: taken from the ledger, written by trainers, noted there.

The trainer is told ``{"export": {"model": folder, "format": …, "dataset": …}}`` and
answers ``exported``. A worker has a few of them under way; each that ends looks for the
next, so a hint need not be sent for each.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catalog import exports, folders
from catalog.errors import DatabaseUnavailable
from catalog.exports import Taken
from catalog.session import transaction
from trainer.spec.exports import FILES
from worker import frames
from worker.attempt_log import AttemptLog
from worker.exports import listen
from worker.trainer_process import TrainerProcess
from worker.verify import sha256_of

log = logging.getLogger(__name__)

MARGIN_SECONDS = 60.0
"""How much longer than an export may take nobody else begins with it."""
AT_ONCE = 2
"""Forms that one worker writes at a time: each takes a trainer's memory."""


def take(worker: str, seconds: float) -> Taken | None:
    """Take the oldest form that waits; None if there is none, or no database."""
    try:
        with transaction() as session:
            return exports.take(session, worker, seconds + MARGIN_SECONDS)
    except DatabaseUnavailable as away:
        log.warning("cannot look for exports: %s", away)
        return None


@dataclass(frozen=True)
class RequestedExport:
    """One form that a trainer is writing."""

    taken: Taken
    trainer: TrainerProcess
    seconds: float
    """How long it may take."""

    @property
    def name(self) -> str:
        """Return what the thread that waits is called."""
        return f"{self.taken.model_id}-{self.taken.format}"

    def begin(self) -> None:
        """Give the trainer its order."""
        data = self.taken.dataset
        order = {
            "model": str(folders.absolute(self.taken.folder)),
            "format": self.taken.format,
            "dataset": None if data is None else str(folders.absolute(data)),
        }
        self.trainer.say({"export": order})

    def finish(self) -> None:
        """Wait for the file, reap the trainer, write down what came of it."""
        folder = folders.absolute(self.taken.folder)
        with AttemptLog.beside(folder) as notes:
            told = listen(self.trainer, self.seconds, notes)
            exit_code = self.trainer.end()
            self._note(told, exit_code)

    def _note(self, told: frames.Frame | None, exit_code: int) -> None:
        if isinstance(told, frames.Exported):
            self._succeed(told)
        elif isinstance(told, frames.Failed):
            error = frames.printable(told.error)
            self._write(lambda session: exports.failed(session, self.taken, error))
        elif self.trainer.killed_by_us:
            error = f"it took longer than {self.seconds:g} s"
            self._write(lambda session: exports.failed(session, self.taken, error))
        elif exit_code > 0:  # it would end so again
            name = f"{folders.absolute(self.taken.folder).name}.log"
            error = f"its writer ended with exit code {exit_code}; {name} says why"
            self._write(lambda session: exports.failed(session, self.taken, error))
        else:
            log.warning("the export %s ended with %s", self.name, exit_code)
            self._write(lambda session: exports.give_back(session, self.taken))

    def _succeed(self, told: frames.Exported) -> None:
        path = folders.absolute(self.taken.folder) / FILES[self.taken.format]
        if not path.is_file():
            error = f"the trainer left no {path.name}"
            self._write(lambda session: exports.failed(session, self.taken, error))
            return
        report = {"maximum_difference": told.maximum_difference} | told.report
        facts = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        files = {path.name: facts}
        self._write(
            lambda session: exports.succeeded(session, self.taken, report, files)
        )
        log.info("export %s: %s", self.name, json.dumps(report))

    def _write(self, change: Callable[[Any], object]) -> None:
        try:
            with transaction() as session:
                change(session)
        except DatabaseUnavailable as away:  # taken again once its time is over
            log.warning("the export %s is not written down: %s", self.name, away)
