"""Jobs that wait for others: how one's end decides about those, in its transaction.

When a prerequisite succeeds, its model takes its place as a source in whoever waits;
when it fails or is cancelled, they end as well, and so on upwards. Rows are locked from
the prerequisites up, hence in the order of their ids, so two ends never wait for each
other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import moves
from catalog.errors import Conflict, NotFound
from catalog.prerequisites import JobPrerequisite
from catalog.tables import (
    TERMINAL,
    Desired,
    Job,
    JobSource,
    Model,
    Reason,
    Status,
)


def settle(session: Session, ended: Job) -> Job:
    """Let those that wait for a job which ended go on, or end with it."""
    left = [ended]
    while left:
        job = left.pop()
        for waiting in _waiting_for(session, job.id):
            if job.status is Status.SUCCEEDED:
                _give(session, waiting, job)
            else:
                left.append(_end_with(session, waiting, job))
    return ended


def enter(
    session: Session, job: Job, prerequisites: Sequence[tuple[str, bool]]
) -> None:
    """Let a new job wait for others; what has succeeded already is its source at once.

    Raises:
        NotFound: there is no such job.
        Conflict: one of them ended without a model.
    """
    for position, (first_id, is_stage) in enumerate(prerequisites):
        first = session.scalar(
            select(Job)
            .where(Job.id == first_id)
            .with_for_update(read=True)
            .execution_options(populate_existing=True)
        )
        if first is None:
            raise NotFound("job", first_id)
        if first.status in {Status.FAILED, Status.CANCELLED}:
            raise Conflict(
                f"job {first_id} is {first.status} and made no model; retry it, and "
                "wait for the new job",
                status=first.status,
            )
        session.add(
            JobPrerequisite(
                job_id=job.id,
                prerequisite_id=first_id,
                position=position,
                is_stage=is_stage,
            )
        )
        session.flush()
        if first.status is Status.SUCCEEDED:
            _give(session, job, first)


def prerequisites(session: Session, job_id: str) -> Sequence[JobPrerequisite]:
    """Return what a job waits for or has waited for, in order."""
    return session.scalars(
        select(JobPrerequisite)
        .where(JobPrerequisite.job_id == job_id)
        .order_by(JobPrerequisite.position)
    ).all()


def unfinished_stages(session: Session, job_id: str) -> Sequence[Job]:
    """Lock the jobs that were made for a job and have not ended, lowest first."""
    return session.scalars(
        select(Job)
        .join(JobPrerequisite, JobPrerequisite.prerequisite_id == Job.id)
        .where(
            JobPrerequisite.job_id == job_id,
            JobPrerequisite.is_stage,
            Job.status.not_in(TERMINAL),
        )
        .order_by(Job.id)
        .with_for_update(of=Job)
        .execution_options(populate_existing=True)
    ).all()


def is_wanted(session: Session, job_id: str) -> bool:
    """Say whether a job that goes on waits for this one."""
    found = (
        select(Job.id)
        .join(JobPrerequisite, JobPrerequisite.job_id == Job.id)
        .where(
            JobPrerequisite.prerequisite_id == job_id,
            Job.status.not_in(TERMINAL),
            Job.desired != Desired.CANCEL,
        )
    )
    return session.scalar(found.limit(1)) is not None


def is_lost(session: Session, job: Job) -> bool:
    """Say whether a job has ended and no model of it is there."""
    if job.status not in TERMINAL:
        return False
    model = None if job.model_id is None else session.get(Model, job.model_id)
    return model is None or model.deleted_at is not None


@dataclass(frozen=True)
class Link:
    """Two jobs of which one waits for the other, as both are shown."""

    job_id: str
    prerequisite: Job
    is_stage: bool


def links(session: Session, job_ids: Sequence[str]) -> list[Link]:
    """Return what jobs wait for or have waited for, in order."""
    rows = session.execute(
        select(JobPrerequisite.job_id, Job, JobPrerequisite.is_stage)
        .join(Job, Job.id == JobPrerequisite.prerequisite_id)
        .where(JobPrerequisite.job_id.in_(job_ids))
        .order_by(JobPrerequisite.job_id, JobPrerequisite.position)
    )
    return [Link(*row) for row in rows]


def made_for(session: Session, job_id: str) -> Sequence[str]:
    """Return the jobs that a job is a stage of."""
    return session.scalars(
        select(JobPrerequisite.job_id)
        .where(JobPrerequisite.prerequisite_id == job_id, JobPrerequisite.is_stage)
        .order_by(JobPrerequisite.job_id)
    ).all()


def renamed(
    resolved_spec: Mapping[str, Any],
    reuse: Sequence[Mapping[str, Any]] | None,
    layers: Sequence[Mapping[str, Any]] | None,
    words: Mapping[str, str],
) -> dict[str, Any]:
    """Return a job's columns in which sources are called by other words."""
    spec = dict(resolved_spec)
    if spec.get("reuse"):
        spec["reuse"] = [_other(row, "from", words) for row in spec["reuse"]]
    return {
        "resolved_spec": spec,
        "reuse": reuse and [_other(row, "source", words) for row in reuse],
        "layers": layers and [_other(row, "source", words) for row in layers],
    }


def _other(
    row: Mapping[str, Any], key: str, words: Mapping[str, str]
) -> dict[str, Any]:
    word = str(row.get(key))
    return dict(row) | {key: words[word]} if word in words else dict(row)


def _waiting_for(session: Session, job_id: str) -> Sequence[Job]:
    return session.scalars(
        select(Job)
        .join(JobPrerequisite, JobPrerequisite.job_id == Job.id)
        .where(JobPrerequisite.prerequisite_id == job_id, Job.status.not_in(TERMINAL))
        .order_by(Job.id)
        .with_for_update(of=Job)
        .execution_options(populate_existing=True)
    ).all()


def _give(session: Session, waiting: Job, done: Job) -> None:
    """Put the model of a job that succeeded where another waits for it."""
    model = session.get_one(Model, done.model_id)
    mine = [source for source in waiting.sources if source.get("job") == done.id]
    found = {"id": model.id, "folder": model.folder, "job": done.id}
    changed = renamed(
        waiting.resolved_spec, waiting.reuse, waiting.layers, {done.id: model.id}
    )
    moves.write(
        session,
        waiting,
        sources=[found if s.get("job") == done.id else s for s in waiting.sources],
        hinted_at=None,  # the sweep tells a worker to look
        **changed,
    )
    if mine and session.get(JobSource, (waiting.id, model.id)) is None:
        session.add(JobSource(job_id=waiting.id, model_id=model.id))
        session.flush()


def _end_with(session: Session, waiting: Job, lost: Job) -> Job:
    """End a job that waits for one that will make no model."""
    told = f"it waits for job {lost.id} ({lost.name}), which "
    if lost.status is Status.CANCELLED:
        error = f"{told}was cancelled; retry this job to make that one anew as well"
        return moves.end(session, waiting, Status.CANCELLED, error=error)
    error = (
        f"{told}failed: {lost.error or lost.reason}; once that is mended, retry this "
        "job: what has succeeded is kept"
    )
    return moves.end(
        session, waiting, Status.FAILED, reason=Reason.PREREQUISITE, error=error
    )
