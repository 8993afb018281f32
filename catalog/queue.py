"""The queue: the jobs that wait, in the order in which they are taken.

Higher priority first, then the older job. Of two workers that look at once each takes
another job: PostgreSQL skips locked rows, SQLite has one writer at a time.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from catalog import attempts, checkpoints, events, metrics, moves, samples
from catalog.claims import Claim
from catalog.clock import now
from catalog.columns import is_word
from catalog.prerequisites import is_ready
from catalog.settings import settings
from catalog.tables import Checkpoint, Dataset, Desired, Job, Status, Worker


def claim(session: Session, worker: str) -> Claim | None:
    """Take the first job of the queue that fits the worker; None if there is none.

    Values measured beyond the checkpoint that it goes on from are archived here, so
    they are measured again exactly once.
    """
    place = session.get(Worker, worker)
    job = session.scalar(
        update(Job)
        .where(
            Job.id == _first_fitting(session, place).scalar_subquery(),
            is_word(Job.status, Status.QUEUED),
        )
        .values(
            status=Status.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            lease_until=now(settings().lease_seconds),
            started_at=func.coalesce(Job.started_at, now()),
        )
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if job is None:
        return None
    checkpoint = None
    if job.attempt > 1:
        checkpoint = checkpoints.newest(session, job.id)
        start = -1 if checkpoint is None else checkpoint.step
        metrics.archive(session, job.id, start)
        samples.drop(session, job.id, start)
    taken = _claim_of(session, job, checkpoint)
    _start_clock(session, taken, job)
    attempts.open_one(session, taken, worker, place)
    told = {"status": Status.RUNNING, "worker": worker, "step": taken.checkpoint_step}
    events.note(session, job.id, "status", told, job.attempt)
    return taken


def wake(session: Session, limit: int = 20) -> list[str]:
    """Return queued jobs whose hint is due, and note that it is sent now.

    A hint says "look for the best job you can take", so a few of them are enough
    however long the queue is.
    """
    due = or_(Job.hinted_at.is_(None), Job.hinted_at < now(-settings().hint_seconds))
    chosen = session.scalars(
        select(Job.id)
        .where(
            is_word(Job.status, Status.QUEUED), Job.run_after <= now(), due, is_ready()
        )
        .order_by(Job.priority.desc(), Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not chosen:
        return []
    # In one statement PostgreSQL may run the query, and its limit, more than once.
    session.execute(
        update(Job)
        .where(Job.id.in_(chosen), is_word(Job.status, Status.QUEUED))
        .values(hinted_at=now())
        .execution_options(synchronize_session=False)
    )
    return list(chosen)


def positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """Return the places in the queue, from 1, of those jobs that wait in it.

    A job that waits for other jobs is not in it yet.
    """
    waiting = [job.id for job in jobs if job.status is Status.QUEUED]
    if not waiting:
        return {}
    if len(jobs) == 1:  # counting is quicker than numbering the whole queue
        ready = session.scalar(select(Job.id).where(Job.id == waiting[0], is_ready()))
        return {ready: _jobs_before(session, jobs[0]) + 1} if ready else {}
    place = func.row_number().over(order_by=(Job.priority.desc(), Job.id))
    queue = (
        select(Job.id, place.label("place"))
        .where(is_word(Job.status, Status.QUEUED), is_ready())
        .subquery()
    )
    rows = session.execute(
        select(queue.c.id, queue.c.place).where(queue.c.id.in_(waiting))
    )
    return {row.id: row.place for row in rows}


def _jobs_before(session: Session, job: Job) -> int:
    earlier = and_(Job.priority == job.priority, Job.id < job.id)
    query = select(func.count()).where(
        is_word(Job.status, Status.QUEUED),
        or_(Job.priority > job.priority, earlier),
        is_ready(),
    )
    return session.scalar(query) or 0


def _first_fitting(session: Session, place: Worker | None) -> Select[str]:
    query = select(Job.id).where(
        is_word(Job.status, Status.QUEUED),
        is_word(Job.desired, Desired.RUN),
        Job.run_after <= now(),
        is_ready(),
    )
    if place is not None:
        kind = place.device.partition(":")[0]
        query = query.where(or_(Job.device.is_(None), Job.device == kind))
        if _elsewhere(session, place):
            query = query.where(~attempts.died_often_on(place.host))
    return (
        query.order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=Job)
    )


def _elsewhere(session: Session, place: Worker) -> bool:
    """Say whether a worker of the same kind of device lives on another host."""
    kind = place.device.partition(":")[0]
    found = select(Worker.name).where(
        Worker.host != place.host,
        or_(Worker.device == kind, Worker.device.startswith(f"{kind}:")),
        Worker.retired_at.is_(None),
        ~Worker.draining,
        Worker.heartbeat_at > now(-settings().lease_seconds),
    )
    return session.scalar(found.limit(1)) is not None


def _claim_of(session: Session, job: Job, checkpoint: Checkpoint | None) -> Claim:
    folder = select(Dataset.folder).where(Dataset.id == job.dataset_id)
    return Claim(
        job_id=job.id,
        attempt=job.attempt,
        name=job.name,
        spec=job.resolved_spec,
        dataset_id=job.dataset_id,
        dataset_folder=session.scalars(folder).one(),
        sources=job.sources,
        checkpoint=checkpoint.folder if checkpoint else None,
        checkpoint_step=checkpoint.step if checkpoint else 0,
        checkpoint_sha256=checkpoint.manifest_sha256 if checkpoint else None,
        micro_batch=job.micro_batch,
        written=job.spec,
    )


def _start_clock(session: Session, claim: Claim, job: Job) -> None:
    """Note where the attempt starts, and what is left of the job's time."""
    values: dict[str, Any] = {"step": claim.checkpoint_step}
    if job.timeout_seconds is not None:
        left = job.timeout_seconds - attempts.seconds(session, job.id)
        values["deadline_at"] = now(max(0.0, left))
    if "deadline_at" in values or job.step != claim.checkpoint_step:
        moves.write(session, job, **values)
