"""How an attempt that brought no result ends: told from evidence, in one sentence."""

import json
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session

from catalog import folders, jobs, models, workers
from catalog.claims import Claim
from catalog.errors import DatabaseUnavailable
from catalog.session import transaction
from catalog.tables import Reason
from worker import frames
from worker.death import explain

USERS_OWN = {
    Reason.INVALID_SPEC,
    Reason.INVALID_DATA,
    Reason.OUT_OF_MEMORY,
    Reason.DIVERGED,
}
"""What a trainer may say of a job that trying again does not change."""


@dataclass(frozen=True)
class Told:
    """Everything that bears on why there is no result."""

    exit_code: int
    step: int
    failed: frames.Failed | None = None
    refused: str | None = None
    stopped: bool = False
    cancelling: bool = False
    stopping: bool = False
    stalled_seconds: float | None = None
    killed_by_us: bool = False
    killed_for_memory: bool = False


@dataclass(frozen=True)
class AttemptEnding:
    """What is written: a failure of the job, or a job that is given back."""

    exit_code: int
    reason: Reason | None = None
    """Set where the job fails; None where it is given back."""
    cause: jobs.Cause = jobs.Cause.INFRASTRUCTURE
    error: str | None = None


def word(told: Told) -> AttemptEnding:
    """Say how the attempt ended."""
    code = told.exit_code
    if told.cancelling:
        return AttemptEnding(code, cause=jobs.Cause.CANCEL)
    if told.failed is not None and told.failed.reason in set(USERS_OWN):
        error = frames.printable(told.failed.error)
        return AttemptEnding(code, Reason(told.failed.reason), error=error)
    if told.stopped or (told.stopping and told.killed_by_us):
        return AttemptEnding(code, cause=jobs.Cause.DRAIN, error=told.refused)
    return _died(told)


def _died(told: Told) -> AttemptEnding:
    if told.failed is not None:
        return AttemptEnding(told.exit_code, error=frames.printable(told.failed.error))
    if told.refused is not None:
        return AttemptEnding(told.exit_code, error=told.refused)
    if told.stalled_seconds is not None:
        error = (
            f"no progress for {told.stalled_seconds:g} s after step {told.step}; "
            "the log shows where the trainer hung"
        )
        return AttemptEnding(told.exit_code, error=error)
    memory = told.killed_for_memory and not told.killed_by_us
    death = explain(told.exit_code, killed_for_memory=memory)
    reason = Reason.OUT_OF_MEMORY if death.reason == "out_of_memory" else None
    return AttemptEnding(told.exit_code, reason, error=death.error)


def write(session: Session, *, claim: Claim, ending: AttemptEnding) -> None:
    """Write the ending into the ledger, under the fence."""
    code = ending.exit_code
    if ending.reason is not None:
        error = ending.error or ending.reason
        jobs.fail(session, claim, ending.reason, error, exit_code=code)
    else:
        jobs.give_back(session, claim, ending.cause, ending.error, exit_code=code)


def succeed(session: Session, claim: Claim, result: frames.Result) -> str | None:
    """Register the model and end the job; None if a cancel had come before."""
    folder = folders.model(claim.job_id, claim.attempt)
    text = (folders.absolute(folder) / "model.json").read_text()
    registration = models.Registration(
        folder=folder,
        description=json.loads(text),
        metrics=result.metrics,
        files={name: file.model_dump() for name, file in result.files.items()},
        monitored=result.monitored,
        sources=[source["id"] for source in claim.sources],
    )
    job = jobs.succeed(
        session, claim, registration, frozen=result.frozen, cache=result.cache
    )
    return job.model_id


def count_refusal(worker: str) -> None:
    """Count a write that the fence turned away."""
    with suppress(DatabaseUnavailable), transaction() as session:
        workers.refused(session, worker)
