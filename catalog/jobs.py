"""A job's life, as verbs: what people, workers and the sweep do with it.

              claim                       succeed
    queued ──────────▶ running ─────────────────────────▶ succeeded
    ▲  │ ▲              │ │ │    fail, poison, time out
    │  │ └──────────────┘ │ └───────────────────────────▶ failed
    │  │  drain, crash,   │
    │  │  lost worker     │ desired = pause    desired = cancel
    │  │ pause            ▼                    ─────────▶ cancelled
    │  └──────────────▶ paused ──────────────────────────────▲
    └────────────────────┘          cancel (also of queued)
          resume

Whoever holds no claim writes ``desired`` only, except where nobody holds one. Each verb
locks the row, decides, and moves it by `catalog.moves`; what an attempt's end leads to
is in `catalog.endings`. A retry waits as ``queued`` with a later ``run_after``.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog import chains, endings, models, moves
from catalog.attempts import Ending
from catalog.claims import Claim, desired, fence, held
from catalog.clock import now
from catalog.errors import Conflict, Fenced, NotFound
from catalog.listing import Filters, counts, page
from catalog.queue import claim, positions, wake
from catalog.settings import settings
from catalog.submissions import (
    Prerequisite,
    Request,
    Submission,
    add,
    again,
    repeated,
)
from catalog.tables import (
    TERMINAL,
    Desired,
    Job,
    Outcome,
    Reason,
    Status,
)

__all__ = [
    "Cause",
    "Claim",
    "Filters",
    "Prerequisite",
    "Request",
    "Submission",
    "add",
    "again",
    "beat",
    "cancel",
    "claim",
    "counts",
    "desired",
    "fail",
    "fence",
    "get",
    "give_back",
    "lose",
    "page",
    "pause",
    "positions",
    "repeated",
    "resume",
    "succeed",
    "time_out",
    "wake",
]


class Cause(StrEnum):
    """Why an attempt gives its job back."""

    DRAIN = "drain"
    """The worker stops; a checkpoint was written."""
    PAUSE = "pause"
    CANCEL = "cancel"
    INFRASTRUCTURE = "infrastructure"
    """The trainer died or hung through no fault of the spec."""


def get(session: Session, job_id: str) -> Job:
    """Return a job.

    Raises:
        NotFound: there is none with that id.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("job", job_id)
    return job


# What people ask for.


def cancel(session: Session, job_id: str) -> Job:
    """Stop a job: at once if nobody runs it, else at its next step.

    The stages that were made for it and have not ended are stopped with it, but for
    those that another job waits for.

    Raises:
        Conflict: the job has ended.
    """
    stages = chains.unfinished_stages(session, job_id)  # the lowest are locked first
    job = _cancel(session, _locked_alive(session, job_id))
    for stage in reversed(stages):
        if not chains.is_wanted(session, stage.id):
            _cancel(session, stage)
    return job


def _cancel(session: Session, job: Job) -> Job:
    if job.status is not Status.RUNNING:
        return endings.ended(session, job, Status.CANCELLED, desired=Desired.CANCEL)
    if job.desired is Desired.CANCEL:
        return job
    return moves.ask(session, job, Desired.CANCEL)


def pause(session: Session, job_id: str) -> Job:
    """Set a job aside: at once if nobody runs it, else after its next checkpoint.

    Raises:
        Conflict: the job has ended or is being cancelled.
    """
    job = _locked_alive(session, job_id)
    _refuse_cancelling(job)
    if job.desired is Desired.PAUSE:
        return job
    if job.status is Status.RUNNING:
        return moves.ask(session, job, Desired.PAUSE)
    return moves.set_aside(session, job)


def resume(session: Session, job_id: str) -> Job:
    """Let a paused job go on from its newest checkpoint.

    Raises:
        Conflict: the job has ended or is being cancelled.
    """
    job = _locked_alive(session, job_id)
    _refuse_cancelling(job)
    if job.desired is Desired.RUN:
        return job
    if job.status is Status.RUNNING:
        return moves.ask(session, job, Desired.RUN)
    return moves.requeue(session, job, hinted_at=now())


# What a worker does with a job.


def beat(
    session: Session, claim: Claim, progress: Mapping[str, Any] | None = None
) -> Desired:
    """Say that the attempt lives, and hear what people want of the job.

    A lease that ran out but that nobody took is renewed: the attempt's number counts,
    not the time.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    values: dict[str, Any] = {"lease_until": now(settings().lease_seconds)}
    if progress is not None:
        values["progress"] = dict(progress)
        values["step"] = int(progress.get("step") or 0)
    wanted = session.scalar(
        update(Job)
        .where(held(claim))
        .values(**values)
        .returning(Job.desired)
        .execution_options(synchronize_session=False)
    )
    if wanted is None:
        raise Fenced(claim.job_id, claim.attempt)
    return wanted


def succeed(
    session: Session,
    claim: Claim,
    registration: models.Registration,
    *,
    frozen: Sequence[Mapping[str, Any]] | None = None,
    cache: Mapping[str, Any] | None = None,
) -> Job:
    """End the job with its model, in one transaction.

    A cancel that was accepted before wins: the job ends as cancelled, without a model.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    job = fence(session, claim)
    if job.desired is Desired.CANCEL:
        return endings.cancelled(session, job, Ending(Outcome.CANCELLED))
    model = models.register(
        session,
        registration,
        name=job.name,
        dataset_id=job.dataset_id,
        job_id=job.id,
        attempt=job.attempt,
        tags=job.tags,
    )
    return endings.close(
        session,
        job,
        Status.SUCCEEDED,
        Ending(Outcome.SUCCEEDED, exit_code=0),
        model_id=model.id,
        frozen=None if frozen is None else [dict(row) for row in frozen],
        cache=None if cache is None else dict(cache),
        progress={**(job.progress or {}), "phase": "done", "percent": 100.0},
    )


def fail(
    session: Session,
    claim: Claim,
    reason: Reason | str,
    error: str,
    *,
    exit_code: int | None = None,
) -> Job:
    """End the job with a sentence that says what to change.

    Out of memory is tried once more with half the examples per forward pass: then the
    job that comes back is ``queued``.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    job = fence(session, claim)
    reason = Reason(reason)
    if job.desired is Desired.CANCEL:
        return endings.cancelled(session, job, Ending(Outcome.FAILED, error, exit_code))
    if reason is not Reason.OUT_OF_MEMORY:
        ending = Ending(Outcome.FAILED, error, exit_code)
        return endings.close(
            session, job, Status.FAILED, ending, reason=reason, error=error
        )
    ending = Ending(Outcome.OUT_OF_MEMORY, error, exit_code)
    return endings.out_of_memory(session, job, ending)


def give_back(
    session: Session,
    claim: Claim,
    cause: Cause | str,
    error: str | None = None,
    *,
    exit_code: int | None = None,
) -> Job:
    """Let go of a job that has not ended; what people want of it decides what follows.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    job = fence(session, claim)
    cause = Cause(cause)
    if cause is Cause.INFRASTRUCTURE:
        ending = Ending(Outcome.CRASHED, error, exit_code, cause)
        return endings.died(session, job, ending, waits=True)
    return endings.let_go(
        session, job, Ending(Outcome.DRAINED, error, exit_code, cause)
    )


# What the sweep does with jobs whose worker does not answer. Call it on locked rows.


def lose(session: Session, job: Job, cause: str) -> Job:
    """Take a job from a worker that died or fell silent; it may go on at once."""
    error = f"worker {job.worker} was lost ({cause.replace('_', ' ')})"
    ending = Ending(Outcome.LOST, error, cause=cause)
    return endings.died(session, job, ending, waits=False)


def time_out(session: Session, job: Job) -> Job:
    """End a job that ran longer than its spec allows."""
    if job.desired is Desired.CANCEL:
        return endings.cancelled(session, job, Ending(Outcome.CANCELLED))
    error = (
        f"the job ran longer than its timeout_seconds of {job.timeout_seconds:g}; "
        "raise the limit or train fewer epochs"
    )
    ending = Ending(Outcome.FAILED, error, cause="timeout")
    return endings.close(
        session, job, Status.FAILED, ending, reason=Reason.TIMEOUT, error=error
    )


def _locked_alive(session: Session, job_id: str) -> Job:
    """Lock a job that has not ended."""
    job = session.scalar(
        select(Job)
        .where(Job.id == job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise NotFound("job", job_id)
    if job.status in TERMINAL:
        raise Conflict(f"job {job_id} is {job.status} already", status=job.status)
    return job


def _refuse_cancelling(job: Job) -> None:
    if job.desired is Desired.CANCEL:
        raise Conflict(f"job {job.id} is being cancelled", status=job.shown_status)
