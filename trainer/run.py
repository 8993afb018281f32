"""One order from beginning to end, told as events: build, reuse, fit, model.

An event is a JSON object with the field ``event``; `trainer.process.serve` sends them
to the worker, ``python -m trainer`` prints them.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainer.assembly import assemble
from trainer.errors import Diverged
from trainer.process.progress import Progress
from trainer.saved import checkpoint
from trainer.saved.checkpoint import Saved, Saver
from trainer.saved.registration import monitored, register
from trainer.training.loop import fit
from trainer.training.memory import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from trainer.assembly import Assembly
    from trainer.process.commands import Commands
    from trainer.process.order import Order
    from trainer.saved.checkpoint import NotSaved
    from trainer.training import Training
    from trainer.training.loop import Report

Event = dict[str, Any]

SAVING_SHARE = 20
"""A checkpoint is begun only when the last one took less than a twentieth of the
time since."""


class Run:
    """Carries one order out and tells what happens."""

    def __init__(self, order: Order, commands: Commands) -> None:
        self.order, self.commands = order, commands
        self.started = time.monotonic()
        self.assembly: Assembly | None = None
        """What the order came to, once it is built."""
        self.stopped = False
        self._saver = None if order.checkpoints is None else Saver(order.checkpoints)
        self._saved_at = self.started
        self._saving_seconds = 0.0
        self._saved: Saved | None = None

    def events(self) -> Iterator[Event]:
        """Yield the events of the whole run; training goes on between them.

        Raises: InvalidSpec, TrainerError.
        """
        self.assembly = assembly = self.assemble()
        exact = True
        if self.order.checkpoint is not None:
            exact = assembly.phases.restore(checkpoint.read(self.order.checkpoint))
        training = assembly.training
        for warning in assembly.warnings:
            yield {"event": "log", "level": "warning", "message": warning}
        yield {
            "event": "started",
            "fingerprint": dict(training.material.fingerprint),
            "exact": exact,
            "resumed_step": training.step,
            "parameters": assembly.resolution.parameters,
            "epochs": assembly.phases.epochs,
            "phases": [phase.name for phase in assembly.resolution.phases],
            "steps_per_epoch": training.steps_per_epoch,
            "rows": {
                "train": len(training.material.train),
                "validation": len(training.material.validation or ()),
                "test": len(training.material.test or ()),
            },
            "cache": assembly.outputs.report(),
        }
        try:
            yield from self._trained(assembly)
        except Diverged:
            yield from _last_words(assembly.training)
            raise
        if not self.stopped:
            yield self._result(assembly)

    def assemble(self) -> Assembly:
        """Build what the order asks for."""
        return assemble(self.order)

    def _trained(self, assembly: Assembly) -> Iterator[Event]:
        """Train to the end, or until stopped; then no save is left in flight."""
        phases = assembly.phases
        progress = Progress(phases)
        while True:
            yield from self._phase(assembly, progress)
            if self.stopped or phases.last:
                break
            with self._memory(assembly.training):
                phases.next()
            yield {"event": "log", "level": "info", "message": phases.told()}
        yield from self._outcome(wait=True)

    def _phase(self, assembly: Assembly, progress: Progress) -> Iterator[Event]:
        """Train to the end of the phase under way, or until stopped."""
        training = assembly.training
        reports = fit(training, interrupted=self.commands.waiting)
        with self._memory(training):
            for report in reports:
                yield from _told(report, training)
                yield progress.event(report)
                yield from self._outcome(wait=False)
                if report.done:
                    break
                if self.commands.stop.is_set():
                    yield from self._stop(assembly)
                    return
                yield from self._save_if_due(assembly)

    def _memory(self, training: Training) -> AbstractContextManager[None]:
        """Return the context in which memory that runs out is the job's own failure."""
        size = self.order.micro_batch or training.recipe.batch_size
        return in_memory("training on", size, str(training.device))

    def _stop(self, assembly: Assembly) -> Iterator[Event]:
        """Write a last checkpoint and tell where it is."""
        self.stopped = True
        yield from self._outcome(wait=True)
        if self._saver is not None:
            self._saver.start(assembly.phases.snapshot())
            yield from self._outcome(wait=True)
        folder = None if self._saved is None else str(self._saved.folder)
        yield {"event": "stopped", "step": assembly.training.step, "folder": folder}

    def _save_if_due(self, assembly: Assembly) -> Iterator[Event]:
        """Begin a checkpoint when it was asked for or its time has come."""
        asked = self.commands.checkpoint.is_set()
        since = time.monotonic() - self._saved_at
        often = max(self.order.checkpoint_seconds, SAVING_SHARE * self._saving_seconds)
        if self._saver is None or not (asked or since >= often):
            self.commands.checkpoint.clear()
            return
        if self._saver.busy:
            if not asked:
                return
            yield from self._outcome(wait=True)
        self.commands.checkpoint.clear()
        self._saved_at = time.monotonic()
        self._saver.start(assembly.phases.snapshot())

    def _outcome(self, *, wait: bool) -> Iterator[Event]:
        """Tell how the save in flight ended, if it has.

        Raises: CheckpointsFailed.
        """
        if self._saver is None:
            return
        outcome = self._saver.collect(wait=wait)
        if outcome is None:
            return
        self._saving_seconds = time.monotonic() - self._saved_at
        if isinstance(outcome, Saved):
            self._saved = outcome
        yield _outcome_event(outcome)

    def _result(self, assembly: Assembly) -> Event:
        """Write the model and tell what came of it."""
        training = assembly.training
        if assembly.scale is not None:
            assembly.scale.fold(assembly.network)
        files: dict[str, Any] = {}
        proof: list[Any] = []
        if self.order.model is not None:
            written, proof = register(assembly, self.order.model)
            files = {name: vars(file) for name, file in written.items()}
        best = training.stopping.best
        return {
            "event": "result",
            "folder": str(self.order.model) if self.order.model else None,
            "metrics": dict(training.final),
            "step": training.step,
            "epoch": training.last_epoch,
            "best_step": best.step or training.step,
            "monitored": monitored(training),
            "frozen": proof,
            "cache": assembly.phases.cache(),
            "phases": [asdict(each) for each in assembly.phases.ended],
            "files": files,
            "seconds": time.monotonic() - self.started,
        }


def _told(report: Report, training: Training) -> Iterator[Event]:
    if report.rows:
        yield {"event": "metrics", "rows": [vars(row) for row in report.rows]}
    if report.done:
        yield from (finding.event() for finding in training.findings())
    if training.doctor is not None:
        training.doctor.collect()
        yield from training.doctor.news()


def _last_words(training: Training) -> Iterator[Event]:
    """Tell what the doctor makes of a loss that is no number any more."""
    if training.doctor is not None:
        training.doctor.lost()
        yield from training.doctor.news()


def _outcome_event(outcome: Saved | NotSaved) -> Event:
    if isinstance(outcome, Saved):
        return {
            "event": "checkpoint",
            "folder": str(outcome.folder),
            "step": outcome.step,
            "epoch": outcome.epoch,
            "manifest_sha256": outcome.manifest_sha256,
            "bytes": outcome.bytes,
            "kind": "last",
        }
    return {"event": "checkpoint_failed", "step": outcome.step, "error": outcome.why}
