"""The guarded writes to a job's row: nothing else writes ``Job.status``.

Each is one UPDATE whose WHERE clause repeats the status and the attempt that the
caller decided on, with its event in the same transaction. Callers hold the row's lock.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from catalog import events
from catalog.clock import now
from catalog.columns import is_word
from catalog.errors import Fenced
from catalog.tables import TERMINAL, Desired, Job, Status


def write(session: Session, job: Job, **values: Any) -> Job:
    """Change a job's row, if it is still as it was read.

    Raises:
        Fenced: it moved meanwhile.
    """
    if job.status in TERMINAL:
        raise Fenced(job.id, job.attempt)
    written = session.scalar(
        update(Job)
        .where(
            Job.id == job.id,
            Job.attempt == job.attempt,
            is_word(Job.status, job.status),
        )
        .values(**values)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if written is None:
        raise Fenced(job.id, job.attempt)
    return written


def ask(session: Session, job: Job, desired: Desired) -> Job:
    """Write down what people want of a running job."""
    asked = write(session, job, desired=desired)
    events.note(session, job.id, "status", {"status": asked.shown_status}, job.attempt)
    return asked


def requeue(
    session: Session,
    job: Job,
    told: Mapping[str, Any] | None = None,
    wait_seconds: float = 0,
    **values: Any,
) -> Job:
    """Put a job back into the queue; the sweep sends its hint when its time comes."""
    told = dict(told or {})
    if wait_seconds:
        told["wait_seconds"] = round(wait_seconds, 1)
    queued: dict[str, Any] = {
        "desired": Desired.RUN,
        "run_after": now(wait_seconds),
        "hinted_at": None,
    }
    return _move(session, job, Status.QUEUED, told, **{**queued, **values})


def set_aside(session: Session, job: Job, **values: Any) -> Job:
    """Pause a job that no attempt runs any more."""
    return _move(session, job, Status.PAUSED, {}, desired=Desired.PAUSE, **values)


def end(session: Session, job: Job, status: Status, **values: Any) -> Job:
    """Bring a job to its end; its row never changes again."""
    told = {
        key: values[key]
        for key in ("reason", "error", "model_id")
        if values.get(key) is not None
    }
    if "model_id" in told:
        told["model"] = told.pop("model_id")
    return _move(session, job, status, told, finished_at=now(), **values)


def _move(
    session: Session, job: Job, status: Status, told: Mapping[str, Any], **values: Any
) -> Job:
    """Take a job to a status in which no worker holds it."""
    attempt = job.attempt or None
    freed = {"worker": None, "lease_until": None, "deadline_at": None}
    moved = write(session, job, status=status, **freed, **values)
    events.note(session, job.id, "status", {"status": status, **told}, attempt)
    return moved
