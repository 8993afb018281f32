"""How far a training is and how long it will take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.phases import Phases
    from trainer.training.loop import Report

WINDOW_SECONDS = 5.0
"""The pace is that of about the last so many seconds."""


class Progress:
    """Turns reports into progress events."""

    def __init__(self, phases: Phases) -> None:
        self.phases = phases
        self._mark: tuple[float, int] | None = None
        self._pace = 0.0

    def event(self, report: Report) -> dict[str, Any]:
        """Return the progress event after a report."""
        phases, training = self.phases, self.phases.training
        total = phases.steps
        now = time.monotonic()
        if self._mark is not None and report.step > self._mark[1]:
            seconds = max(now - self._mark[0], 1e-9)
            pace = (report.step - self._mark[1]) / seconds
            weight = min(1.0, seconds / WINDOW_SECONDS) if self._pace else 1.0
            self._pace += weight * (pace - self._pace)
        self._mark = (now, report.step)  # the first step, slower, sets no pace
        ended = report.done and phases.last
        left = 0 if ended else total - report.step
        return {
            "event": "progress",
            "phase": "testing" if ended else phases.phase.name,
            "epoch": report.epoch,
            "epochs": phases.epochs,
            "step": report.step,
            "steps": total,
            "percent": round(100 * (total - left) / total, 2),
            "steps_per_second": round(self._pace, 3),
            "examples_per_second": round(self._pace * training.batch, 1),
            "eta_seconds": round(left / self._pace, 3) if self._pace else None,
        }
