"""What follows when an attempt ends: the decisions, made on a locked row."""

from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from catalog import attempts, chains, events, moves, retries
from catalog.attempts import Ending
from catalog.settings import settings
from catalog.tables import (
    Attempt,
    Checkpoint,
    Desired,
    Job,
    Outcome,
    Reason,
    Status,
)


def close(
    session: Session, job: Job, status: Status, ending: Ending, **values: Any
) -> Job:
    """End the attempt and the job with it."""
    attempts.close(session, job, ending)
    return ended(session, job, status, **values)


def ended(session: Session, job: Job, status: Status, **values: Any) -> Job:
    """End a job that no attempt runs, and decide about those that wait for it."""
    return chains.settle(session, moves.end(session, job, status, **values))


def let_go(session: Session, job: Job, ending: Ending) -> Job:
    """End an attempt that did what it was asked to: cancel, pause or make room."""
    if job.desired is Desired.CANCEL:
        return cancelled(session, job, ending)
    paused = job.desired is Desired.PAUSE
    outcome = Outcome.PAUSED if paused else Outcome.DRAINED
    attempts.close(session, job, ending.as_(outcome))
    if paused:
        return moves.set_aside(session, job)
    return moves.requeue(session, job, {"cause": ending.cause})


def cancelled(session: Session, job: Job, ending: Ending) -> Job:
    """End a job that people cancelled, however its attempt ended."""
    return close(session, job, Status.CANCELLED, ending.as_(Outcome.CANCELLED))


def out_of_memory(session: Session, job: Job, ending: Ending) -> Job:
    """Try once more with half the examples per forward pass, then give up."""
    batch_size = int(job.resolved_spec.get("training", {}).get("batch_size") or 1)
    smaller = retries.smaller_batch(batch_size, job.micro_batch)
    failures = job.memory_failures + 1
    if job.memory_failures or smaller is None:
        return close(
            session,
            job,
            Status.FAILED,
            ending,
            reason=Reason.OUT_OF_MEMORY,
            error=ending.error,
            memory_failures=failures,
        )
    attempts.close(session, job, ending)
    told = {
        "code": "out_of_memory",
        "detail": f"trying once more with {smaller} examples per forward pass, "
        f"accumulated to the same batch of {batch_size}",
        "layer": None,
        "severity": "warning",
        "evidence": {"batch_size": batch_size, "micro_batch": smaller},
        "patch": None,
        "step": job.step,
        "micro_batch": smaller,
        "error": ending.error,
    }
    events.note(session, job.id, "diagnostic", told, job.attempt)
    changed = {"micro_batch": smaller, "memory_failures": failures}
    if job.desired is Desired.PAUSE:
        return moves.set_aside(session, job, **changed)
    return moves.requeue(session, job, {"cause": "out_of_memory"}, **changed)


def died(session: Session, job: Job, ending: Ending, *, waits: bool) -> Job:
    """Decide about a job whose attempt died through no fault of its spec."""
    if job.desired is Desired.CANCEL:
        return cancelled(session, job, ending)
    last = attempts.close(session, job, ending)
    told = {"worker": last.worker, "cause": ending.cause, "step": last.step}
    events.note(
        session, job.id, "interrupted", {**told, "error": ending.error}, job.attempt
    )
    record = _record(session, job, last)
    counted = {
        "death_step": record.step,
        "deaths": record.deaths,
        "restarts": record.restarts,
    }
    verdict = _verdict(session, job, record)
    if verdict is not None:
        reason, error = verdict
        error = f"{error}; the last time: {ending.error}"
        return ended(session, job, Status.FAILED, reason=reason, error=error, **counted)
    if job.desired is Desired.PAUSE:
        return moves.set_aside(session, job, **counted)
    wait = retries.wait_seconds(record.restarts) if waits else 0.0
    return moves.requeue(session, job, {"cause": ending.cause}, wait, **counted)


def _record(session: Session, job: Job, last: Attempt) -> retries.Record:
    saved = exists().where(
        Checkpoint.job_id == job.id, Checkpoint.attempt == job.attempt
    )
    return retries.died(
        retries.Record(job.death_step, job.deaths, job.restarts),
        last.step or 0,
        saved=bool(session.scalar(select(saved))),
        calm=last.seconds >= retries.CALM_SECONDS,
    )


def _verdict(
    session: Session, job: Job, record: retries.Record
) -> tuple[Reason, str] | None:
    """Say why a job is not tried again; None means that it is."""
    if record.deaths >= retries.POISON:
        return Reason.CRASH_LOOP, (
            f"training died {record.deaths} times at step {record.step} "
            "without a new checkpoint between"
        )
    most = settings().restarts_per_day
    if attempts.deaths_today(session, job.id) > most:
        return Reason.INFRASTRUCTURE, (
            f"training was restarted {most} times within 24 hours"
        )
    return None
