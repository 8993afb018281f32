"""The processes that own a device: who is there, and what the dead ones held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog import exports, jobs
from catalog.clock import now
from catalog.columns import is_word
from catalog.errors import NotFound
from catalog.settings import settings
from catalog.tables import Job, Status, Worker


@dataclass(frozen=True)
class Identity:
    """What tells one incarnation of a worker from the next of the same name."""

    name: str
    host: str
    pid: int
    pid_started: float
    """When the process started, as its system counts."""
    boot_id: str
    device: str
    """``cpu`` or ``cuda:0`` and so on."""
    capacity: Mapping[str, Any] = field(default_factory=dict)


def register(session: Session, identity: Identity) -> list[str]:
    """Enter a worker that starts; return the jobs freed from its predecessor.

    A worker of that name that was here before is dead, or this one would not start:
    what it held is released at once.
    """
    freed = release(session, identity.name)
    session.merge(
        Worker(
            name=identity.name,
            host=identity.host,
            pid=identity.pid,
            pid_started=identity.pid_started,
            boot_id=identity.boot_id,
            device=identity.device,
            capacity=dict(identity.capacity),
            started_at=now(),
            heartbeat_at=now(),
            draining=False,
            retired_at=None,
            job_id=None,
        )
    )
    session.flush()
    return freed


def beat(
    session: Session,
    name: str,
    *,
    job_id: str | None = None,
    draining: bool = False,
) -> None:
    """Say that a worker lives and what it runs.

    Raises:
        NotFound: no worker of that name is registered.
    """
    found = session.scalar(
        update(Worker)
        .where(Worker.name == name)
        .values(
            heartbeat_at=now(),
            job_id=job_id,
            draining=draining,
        )
        .returning(Worker.name)
        .execution_options(synchronize_session=False)
    )
    if found is None:
        raise NotFound("worker", name)


def refused(session: Session, name: str) -> None:
    """Count a write of a dead attempt that the fence turned away."""
    session.execute(
        update(Worker)
        .where(Worker.name == name)
        .values(refused_writes=Worker.refused_writes + 1)
        .execution_options(synchronize_session=False)
    )


def retire(session: Session, name: str) -> list[str]:
    """Take leave of a worker that stops; return the jobs it still held."""
    freed = release(session, name)
    session.execute(
        update(Worker)
        .where(Worker.name == name)
        .values(retired_at=now(), job_id=None, draining=True)
        .execution_options(synchronize_session=False)
    )
    return freed


def release(session: Session, name: str, cause: str = "worker_lost") -> list[str]:
    """Free what a dead worker held, without waiting for its lease to run out.

    Only whoever knows that the process is dead may call this: its parent that reaped
    it, or the same worker when it comes back. Each death counts for the poison rule.
    """
    exports.release(session, name)
    held = session.scalars(
        select(Job)
        .where(is_word(Job.status, Status.RUNNING), Job.worker == name)
        .order_by(Job.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    return [jobs.lose(session, job, cause).id for job in held]


def get(session: Session, name: str) -> Worker:
    """Return a worker.

    Raises:
        NotFound: there never was one of that name.
    """
    worker = session.get(Worker, name)
    if worker is None:
        raise NotFound("worker", name)
    return worker


def every(session: Session) -> Sequence[Worker]:
    """Return all workers that did not take their leave, also silent ones."""
    return session.scalars(
        select(Worker).where(Worker.retired_at.is_(None)).order_by(Worker.name)
    ).all()


def live(session: Session) -> Sequence[Worker]:
    """Return the workers that were heard of within one lease."""
    return session.scalars(
        select(Worker)
        .where(
            Worker.retired_at.is_(None),
            Worker.heartbeat_at > now(-settings().lease_seconds),
        )
        .order_by(Worker.name)
    ).all()
