"""What comes in: accepted specs become jobs, each request at most once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog import chains, events, ids
from catalog.errors import Conflict, IdempotencyKeyReused, NotFound
from catalog.tables import (
    TERMINAL,
    Dataset,
    Desired,
    Idempotency,
    Job,
    JobSource,
    Model,
    Status,
)


@dataclass(frozen=True)
class Request:
    """A client's word that two requests are the same one."""

    key: str
    """The ``Idempotency-Key``."""
    request_hash: str
    """SHA-256 of the request's body, in hexadecimal."""


@dataclass(frozen=True)
class Prerequisite:
    """A job that must succeed first."""

    job_id: str
    is_stage: bool = False
    """Whether it is made for the job that waits: then it is cancelled with it."""


@dataclass(frozen=True)
class Submission:
    """A spec that passed validation, and everything that was looked up for it."""

    name: str
    spec: Mapping[str, Any]
    """Exactly as written."""
    resolved_spec: Mapping[str, Any]
    dataset_id: str
    sources: Sequence[Mapping[str, Any]] = ()
    """One ``{id, folder}`` per entry of the spec's ``reuse``, or ``{job}`` where the
    model is yet to be made by a job that this one waits for."""
    reuse: Sequence[Mapping[str, Any]] | None = None
    """The match table."""
    layers: Sequence[Mapping[str, Any]] | None = None
    """The layer table."""
    priority: int = 0
    tags: Sequence[str] = ()
    device: str | None = None
    """The kind of device that it must have, ``cpu`` or ``cuda``; None means any."""
    parent: str | None = None
    """The job that this one retries or clones."""
    idempotency: Request | None = None
    id: str | None = None
    """The job's id, where others of the same request must know it."""
    prerequisites: Sequence[Prerequisite] = ()
    """The jobs that it waits for."""
    stages: Sequence["Submission"] = ()
    """Jobs that are accepted with it, before it: all of them or none."""


def add(session: Session, submission: Submission) -> Job:
    """Accept a job: its row, its first event and its idempotency key, or none of them.

    The stages of a chain are accepted with it.

    A request that came before returns the job that it made then.

    Raises:
        NotFound: the data set or a source is not there (any more).
        IdempotencyKeyReused: the key came before with another body.
    """
    job_id = submission.id or ids.new_id("job")
    if submission.idempotency is not None:
        earlier = _take_key(session, submission.idempotency, job_id)
        if earlier is not None:
            return earlier
    for stage in submission.stages:
        _enter(session, stage, stage.id or ids.new_id("job"))
    return _enter(session, submission, job_id)


def _enter(session: Session, submission: Submission, job_id: str) -> Job:
    """Write one job's row, its first event and what it waits for."""
    _hold(session, submission)
    resolved = dict(submission.resolved_spec)
    job = Job(
        id=job_id,
        name=submission.name,
        status=Status.QUEUED,
        desired=Desired.RUN,
        priority=submission.priority,
        spec=dict(submission.spec),
        resolved_spec=resolved,
        dataset_id=submission.dataset_id,
        sources=_rows(submission.sources),
        reuse=_optional_rows(submission.reuse),
        layers=_optional_rows(submission.layers),
        tags=list(dict.fromkeys(submission.tags)),
        device=submission.device,
        parent=submission.parent,
        timeout_seconds=resolved.get("timeout_seconds"),
    )
    session.add(job)
    session.flush()
    used = dict.fromkeys(_known(submission.sources))
    session.add_all(JobSource(job_id=job_id, model_id=model) for model in used)
    events.note(session, job_id, "status", {"status": Status.QUEUED})
    waits = [(first.job_id, first.is_stage) for first in submission.prerequisites]
    chains.enter(session, job, waits)
    return job


def repeated(session: Session, request: Request) -> Job | None:
    """Return the job that the same request made before, without making one.

    Raises:
        IdempotencyKeyReused: the key came before with another body.
    """
    row = session.get(Idempotency, request.key)
    if row is None:
        return None
    if row.request_hash != request.request_hash:
        raise IdempotencyKeyReused(request.key)
    return session.get_one(Job, row.job_id)


def again(session: Session, job_id: str, idempotency: Request | None = None) -> Job:
    """Accept the spec of an ended job as a new job, with the old one as its parent.

    Jobs that it waited for and that made no model, or one that is gone, are made anew
    with it; the models of the others are used again.

    Raises:
        NotFound: there is no such job, or its data set or a source is gone.
        Conflict: the job has not ended yet.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("job", job_id)
    if job.status not in TERMINAL:
        raise Conflict(
            f"job {job_id} is {job.shown_status}; only a job that ended can be retried",
            status=job.shown_status,
        )
    if idempotency is not None:
        earlier = repeated(session, idempotency)
        if earlier is not None:
            return earlier
    stages: dict[str, Submission] = {}
    submission = _anew(session, job, stages)
    return add(
        session,
        replace(submission, idempotency=idempotency, stages=list(stages.values())),
    )


def _anew(session: Session, job: Job, stages: dict[str, Submission]) -> Submission:
    """Return the submission that does a job again.

    `stages` collects those of the jobs it waits for that must be done again, lowest
    first, by the id that each had.
    """
    waits = []
    words: dict[str, str] = {}
    sources = list(job.sources)
    for row in chains.prerequisites(session, job.id):
        first = session.get_one(Job, row.prerequisite_id)
        if chains.is_lost(session, first) and first.id not in stages:
            stages[first.id] = _anew(session, first, stages)
        again_as = stages[first.id].id if first.id in stages else first.id
        assert again_as is not None
        waits.append(Prerequisite(again_as, row.is_stage))
        for number, source in enumerate(sources):
            if source.get("job") == first.id:
                words[source.get("id", first.id)] = again_as
                sources[number] = {"job": again_as}
    columns = chains.renamed(job.resolved_spec, job.reuse, job.layers, words)
    return Submission(
        id=ids.new_id("job"),
        name=job.name,
        spec=job.spec,
        dataset_id=job.dataset_id,
        sources=sources,
        priority=job.priority,
        tags=job.tags,
        device=job.device,
        parent=job.id,
        prerequisites=waits,
        **columns,
    )


def _known(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the sources that are models already."""
    return [source["id"] for source in sources if "id" in source]


def _take_key(session: Session, request: Request, job_id: str) -> Job | None:
    """Reserve the key for a new job; return the job that has it already, if any.

    Inserting first lets the database decide between requests that come at once: the
    later one waits here until the first is committed or gone.
    """
    on = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    taken = session.scalar(
        on.insert(Idempotency)
        .values(key=request.key, request_hash=request.request_hash, job_id=job_id)
        .on_conflict_do_nothing()
        .returning(Idempotency.key)
    )
    return None if taken is not None else repeated(session, request)


def _hold(session: Session, submission: Submission) -> None:
    """Make sure that what the job needs is there, and stays until it is accepted."""
    dataset = session.scalar(
        select(Dataset.id)
        .where(Dataset.id == submission.dataset_id, Dataset.deleted_at.is_(None))
        .with_for_update(read=True)
    )
    if dataset is None:
        raise NotFound("dataset", submission.dataset_id)
    wanted = sorted(set(_known(submission.sources)))
    if not wanted:
        return
    found = session.scalars(
        select(Model.id)
        .where(Model.id.in_(wanted), Model.deleted_at.is_(None))
        .order_by(Model.id)
        .with_for_update(read=True)
    ).all()
    for missing in sorted(set(wanted) - set(found)):
        raise NotFound("model", missing)


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]


def _optional_rows(
    rows: Sequence[Mapping[str, Any]] | None,
) -> list[dict[str, Any]] | None:
    return None if rows is None else _rows(rows)
