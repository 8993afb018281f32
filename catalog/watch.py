"""What is new in many jobs at once, for those who follow them live."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.tables import Event, Job, Metric


@dataclass(frozen=True)
class Mark:
    """How far a job has come; another mark means that there is something to read."""

    attempt: int
    event_id: int
    """The newest event, or 0."""
    step: int
    """The newest step with a metric, or -1."""


def marks(session: Session, job_ids: Iterable[str]) -> dict[str, Mark]:
    """Return the mark of each job: one query, whose cost does not grow with history."""
    newest_event = (
        select(func.max(Event.id)).where(Event.job_id == Job.id).scalar_subquery()
    )
    newest_step = (
        select(Metric.step)
        .where(Metric.job_id == Job.id, ~Metric.archived)
        .order_by(Metric.step.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(Job.id, Job.attempt, newest_event, newest_step)
    rows = session.execute(query.where(Job.id.in_(list(job_ids))))
    return {
        job_id: Mark(attempt, event_id or 0, -1 if step is None else step)
        for job_id, attempt, event_id, step in rows
    }


def metrics_after(
    session: Session, job_id: str, last_id: int, from_step: int = 0, limit: int = 1000
) -> Sequence[Metric]:
    """Return the values written after one, in the order in which they were written.

    `from_step` keeps the search short: within an attempt steps only grow.
    """
    query = select(Metric).where(
        Metric.job_id == job_id,
        ~Metric.archived,
        Metric.step >= from_step,
        Metric.id > last_id,
    )
    return session.scalars(query.order_by(Metric.id).limit(limit)).all()


def newest_metric(session: Session, job_id: str, event_id: int) -> int:
    """Return the id of the last value that is not newer than an event, or 0."""
    told_at = (
        select(Event.at)
        .where(Event.job_id == job_id, Event.id <= event_id)
        .order_by(Event.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(func.max(Metric.id)).where(
        Metric.job_id == job_id, ~Metric.archived, Metric.at <= told_at
    )
    return session.scalar(query) or 0
