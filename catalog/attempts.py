"""The tries at running a job: opened by a claim, closed by whatever ends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from catalog.claims import Claim, fence
from catalog.clock import now
from catalog.columns import is_word
from catalog.tables import Attempt, Job, Metric, Outcome, Worker

DAY_SECONDS = 86_400
DEATHS_ON_HOST = 2
"""Deaths on one host after which another one is preferred."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, as its supervisor or the sweep saw it."""

    outcome: Outcome
    error: str | None = None
    exit_code: int | None = None
    """Exit status of the trainer; negative for a signal."""
    cause: str | None = None
    """A word for the event: ``drain``, ``lease_expired``, ``worker_lost``, …"""

    def as_(self, outcome: Outcome) -> "Ending":
        """Return the same ending, counted as another outcome."""
        return replace(self, outcome=outcome)


def open_one(session: Session, claim: Claim, worker: str, place: Worker | None) -> None:
    """Write down that an attempt begins, and at which place if that is known."""
    session.add(
        Attempt(
            job_id=claim.job_id,
            attempt=claim.attempt,
            worker=worker,
            host=place.host if place else None,
            device=place.device if place else None,
            checkpoint=claim.checkpoint,
        )
    )
    session.flush()


def started(
    session: Session,
    claim: Claim,
    *,
    pid: int | None = None,
    resumed_step: int | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    exact: bool | None = None,
) -> None:
    """Write down what the trainer said of itself when it started."""
    fence(session, claim)
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == claim.job_id, Attempt.attempt == claim.attempt)
        .values(
            pid=pid,
            resumed_step=resumed_step,
            fingerprint=None if fingerprint is None else dict(fingerprint),
            exact=exact,
        )
        .execution_options(synchronize_session=False)
    )


def close(session: Session, job: Job, ending: Ending) -> Attempt:
    """End the job's running attempt, and return its row."""
    told = session.scalar(
        select(func.max(Metric.step)).where(
            Metric.job_id == job.id,
            Metric.attempt == job.attempt,
            ~Metric.archived,
        )
    )
    return session.scalars(
        update(Attempt)
        .where(
            Attempt.job_id == job.id,
            Attempt.attempt == job.attempt,
            Attempt.ended_at.is_(None),
        )
        .values(
            ended_at=now(),
            outcome=ending.outcome,
            error=ending.error,
            exit_code=ending.exit_code,
            step=max(job.step, told or 0),
        )
        .returning(Attempt)
        .execution_options(populate_existing=True, synchronize_session=False)
    ).one()


def of_job(session: Session, job_id: str) -> Sequence[Attempt]:
    """Return a job's attempts, first to last."""
    return session.scalars(
        select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.attempt)
    ).all()


def seconds(session: Session, job_id: str) -> float:
    """Return how long the ended attempts of a job ran."""
    return sum(one.seconds for one in of_job(session, job_id))


def died_often_on(host: str) -> ColumnElement[bool]:
    """Return the condition that two attempts of a job died on a host."""
    deaths = (
        select(func.count())
        .select_from(Attempt)
        .where(
            Attempt.job_id == Job.id,
            Attempt.host == host,
            is_word(Attempt.outcome, Outcome.CRASHED, Outcome.LOST),
        )
        .correlate(Job)
        .scalar_subquery()
    )
    return deaths >= DEATHS_ON_HOST


def deaths_today(session: Session, job_id: str) -> int:
    """Return how many attempts died within 24 hours through no fault of the spec."""
    return session.scalars(
        select(func.count())
        .select_from(Attempt)
        .where(
            Attempt.job_id == job_id,
            is_word(Attempt.outcome, Outcome.CRASHED, Outcome.LOST),
            Attempt.ended_at > now(-DAY_SECONDS),
        )
    ).one()
