"""What a trainer tells, turned into facts of the attempt and entries of its record."""

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from catalog import attempts
from worker import frames
from worker.attempt_log import AttemptLog
from worker.pace import Pace
from worker.record import Record
from worker.trainer_process import TrainerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

UNREADABLE_TOLD: Final = 20
LOGS_TOLD: Final = 500
FINDINGS_TOLD: Final = 100
LOG_PIECES: Final = 16
"""Pieces of the log taken in one round, so that a flood does not hold up the rest."""


class Hearing:
    """Reads both pipes of a trainer and remembers what matters for its end."""

    def __init__(
        self, trainer: TrainerProcess, record: Record, pace: Pace, log: AttemptLog
    ) -> None:
        self.checkpoints: deque[frames.Checkpoint] = deque()
        """Told and not yet checked."""
        self.result: frames.Result | None = None
        self.failed: frames.Failed | None = None
        self.stopped = False
        self.step = 0
        self.stream_ended = self.log_ended = False
        self._trainer, self._record, self._pace, self._log = trainer, record, pace, log
        self._unreadable = self._logs = self._findings = 0
        self._hear: dict[type[frames.Frame], Callable[[Any], None]] = {
            frames.Started: self._started,
            frames.Progress: self._progress,
            frames.Metrics: self._metrics,
            frames.Diagnostic: self._diagnosed,
            frames.Layers: self._sampled,
            frames.Log: self._said,
            frames.Checkpoint: self._checkpoint,
            frames.CheckpointFailed: self._checkpoint_failed,
            frames.Stopped: self._stopped,
            frames.Result: self._result,
            frames.Failed: self._failed,
        }

    def descriptors(self) -> list[int]:
        """Return the pipes that are worth waiting for."""
        found = [] if self.log_ended else [self._trainer.stderr]
        if not self.stream_ended and not self._record.journal.is_full:
            found.append(self._trainer.stdout)
        return found

    def listen(self) -> None:
        """Take what has arrived, without waiting."""
        self._listen_to_log()
        if self.stream_ended or self._record.journal.is_full:
            return
        told = self._trainer.read_frames()
        if told is None:
            self.stream_ended = True
            return
        for frame in told:
            if isinstance(frame, frames.Unreadable):
                self._ignored(frame)
            elif type(frame) in self._hear:
                self._hear[type(frame)](frame)

    def _listen_to_log(self) -> None:
        for _ in range(LOG_PIECES):
            piece = None if self.log_ended else self._trainer.read_log()
            if piece is None:
                self.log_ended = True
            if not piece:
                return
            self._log.write(piece)

    def _started(self, told: frames.Started) -> None:
        self._pace.moved()
        pid = self._trainer.pid
        self._record.act(
            lambda session: attempts.started(
                session,
                self._record.claim,
                pid=pid,
                resumed_step=told.resumed_step,
                fingerprint=told.fingerprint,
                exact=told.exact,
            )
        )

    def _progress(self, told: frames.Progress) -> None:
        self.step = told.step
        self._pace.stepped(told.step)
        self._record.progress(told.model_dump(exclude={"event"}))

    def _metrics(self, told: frames.Metrics) -> None:
        self._pace.moved()
        for row in told.rows:
            self._record.journal.metric(row.model_dump())

    def _diagnosed(self, told: frames.Diagnostic) -> None:
        """Note a finding; a doctor has few codes, so there cannot be many."""
        self._findings += 1
        if self._findings <= FINDINGS_TOLD:
            found = told.model_dump(exclude={"event"})
            self._record.event(
                "diagnostic", found | {"detail": frames.printable(told.detail)}
            )

    def _sampled(self, told: frames.Layers) -> None:
        self._pace.moved()
        self._record.journal.sample(told.model_dump(exclude={"event"}))

    def _said(self, told: frames.Log) -> None:
        message, level = frames.printable(told.message), frames.printable(told.level)
        self._log.write(f"[{level}] {message}\n".encode(errors="replace"))
        self._logs += 1
        if self._logs <= LOGS_TOLD:
            self._record.event("log", {"level": level[:16], "message": message})

    def _checkpoint(self, told: frames.Checkpoint) -> None:
        self._pace.moved()
        self.checkpoints.append(told)

    def _checkpoint_failed(self, told: frames.CheckpointFailed) -> None:
        self._record.event(
            "checkpoint_failed",
            {"step": told.step, "error": frames.printable(told.error)},
        )

    def _stopped(self, _: frames.Stopped) -> None:
        self.stopped = True

    def _result(self, told: frames.Result) -> None:
        self._pace.moved()
        self.result = self.result or told

    def _failed(self, told: frames.Failed) -> None:
        self.failed = self.failed or told

    def _ignored(self, line: frames.Unreadable) -> None:
        self._unreadable += 1
        if self._unreadable <= UNREADABLE_TOLD:
            stamp = time.strftime("%H:%M:%S")
            self._log.say(f"{stamp} ignored from the trainer: {line.problem}")
