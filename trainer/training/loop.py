"""The training loop: `fit`, a generator that its caller may leave at any step.

Whenever it has yielded, the training stands at a step boundary and can be copied out
as a checkpoint. There are no callbacks: whoever iterates records, saves, reports and
stops.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.data.examples import Gatherer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trainer.training import Row, Training

PAUSE_SECONDS = 0.25
"""The generator yields at least this often, after the step that is running."""


@dataclass(frozen=True)
class Report:
    """What has happened since the last report."""

    step: int
    epoch: int
    rows: tuple[Row, ...] = ()
    """New figures."""
    done: bool = False
    """Whether this is the last report."""


def fit(
    training: Training,
    *,
    pause_seconds: float = PAUSE_SECONDS,
    interrupted: Callable[[], bool] = bool,
) -> Iterator[Report]:
    """Train in place; yield after the first step, each evaluation, and now and then.

    Stop iterating to stop. `interrupted` is asked after every step; when it says yes
    the generator yields at once.

    Raises: Diverged, OutOfMemory.
    """
    due = 0.0  # the first step reports at once
    while not training.over:
        for report in _epoch(training):
            now = time.monotonic()
            if report.rows or now >= due or interrupted():
                training.check()
                due = now + pause_seconds
                yield report
            if training.over:
                break
    yield Report(training.step, training.last_epoch, training.finish(), done=True)


def _epoch(training: Training) -> Iterator[Report]:
    """Take the steps that are left of the current epoch, one report each."""
    train, size = training.material.train, training.batch
    epoch = training.epoch
    training.awaken()
    chosen = training.sampler.order(epoch)
    gatherer = Gatherer(train.at(epoch), train.targets)
    descent, tally = training.descent, training.tally
    for start in range(training.index, training.rows, size):
        rows = chosen[start : min(start + size, training.rows)]
        batch = training.disturbance.of(*gatherer.gather(rows), rows)
        pace = training.learning_rate(), training.momentum()
        probe = training.probe(batch.values)
        loss, outputs = descent.step(batch.values, batch.targets, *pace, probe=probe)
        tally.add(loss, outputs, batch.rows)
        training.pace(len(rows))
        figures = training.follow(loss, len(rows))
        if training.index >= training.rows:
            training.epoch, training.index = epoch + 1, 0
        yield Report(training.step, epoch, figures)
