"""The history of a job, one line per thing that happened."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.tables import TERMINAL, Event, Job


def add(
    session: Session,
    job_id: str,
    type: str,  # noqa: A002 - the field's public name
    data: Mapping[str, Any],
    attempt: int | None = None,
) -> Event:
    """Write an event, such as ``status``, ``interrupted`` or ``checkpoint``.

    The job's row is locked first, so the ids of one job's events are given in the order
    in which they become visible: whoever reads after the last id seen misses none.
    """
    locked = select(Job.id).where(Job.id == job_id).with_for_update()
    if session.scalar(locked) is None:
        raise NotFound("job", job_id)
    return note(session, job_id, type, data, attempt)


def note(
    session: Session,
    job_id: str,
    type: str,  # noqa: A002 - the field's public name
    data: Mapping[str, Any],
    attempt: int | None = None,
) -> Event:
    """Write an event of a job whose row this transaction has locked already."""
    event = Event(
        job_id=job_id,
        attempt=attempt,
        type=type,
        data=dict(data),
        terminal=type == "status" and data.get("status") in TERMINAL,
    )
    session.add(event)
    session.flush()
    return event


def after(
    session: Session, job_id: str, last_id: int = 0, limit: int = 1000
) -> Sequence[Event]:
    """Return the events that follow one, oldest first."""
    return session.scalars(
        select(Event)
        .where(Event.job_id == job_id, Event.id > last_id)
        .order_by(Event.id)
        .limit(limit)
    ).all()


def of_type(
    session: Session,
    job_id: str,
    type: str,  # noqa: A002 - the field's public name
    limit: int = 1000,
) -> Sequence[Event]:
    """Return the events of one type, oldest first."""
    return session.scalars(
        select(Event)
        .where(Event.job_id == job_id, Event.type == type)
        .order_by(Event.id)
        .limit(limit)
    ).all()


def newest(session: Session, job_id: str) -> int:
    """Return the id of the last event, or 0."""
    found = session.scalar(
        select(Event.id)
        .where(Event.job_id == job_id)
        .order_by(Event.id.desc())
        .limit(1)
    )
    return found or 0
