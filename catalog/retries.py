"""When an attempt that died is tried again, and when it is not: rules, no rows."""

import random
from dataclasses import dataclass

from catalog.settings import settings

POISON = 3
"""Deaths at one step without a new checkpoint after which a job is no longer tried."""
CALM_SECONDS = 1800
"""An attempt that ran this long and got on starts the waiting times anew."""
JITTER = 0.2


@dataclass(frozen=True)
class Record:
    """What is known of a job's deaths."""

    step: int | None
    """Where it died last."""
    deaths: int
    """How often in a row it died there without a new checkpoint."""
    restarts: int
    """How often it was restarted since it last ran calmly."""


def died(record: Record, step: int, *, saved: bool, calm: bool) -> Record:
    """Return the record after another death at `step`.

    `saved` says whether the attempt committed a checkpoint, `calm` whether it ran for
    half an hour and got on.
    """
    same = step == record.step and not saved
    return Record(
        step=step,
        deaths=record.deaths + 1 if same else 1,
        restarts=1 if calm else record.restarts + 1,
    )


def wait_seconds(restarts: int) -> float:
    """Return how long to wait before trying again: doubled each time, ±20 %."""
    first, most = settings().retry_seconds, settings().retry_limit_seconds
    doubled: float = first * 2 ** min(restarts - 1, 30)
    return min(most, doubled) * random.uniform(1 - JITTER, 1 + JITTER)


def smaller_batch(batch_size: int, micro_batch: int | None) -> int | None:
    """Return half the examples per forward pass; None where none would be left."""
    return (micro_batch or batch_size) // 2 or None
