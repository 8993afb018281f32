"""A search's life in the ledger, and what its trials came to.

    running ──▶ succeeded, or failed where no trial made a model
       │ cancel
       ▼
    cancelling ──▶ cancelled, when the last trial's job has ended

Everything that a search knows is in the rows of its trials and of their jobs. Whoever
moves one holds the lock of its row, so a process that dies at any moment leaves the
search as it was before its transaction or after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog import ids, jobs, models
from catalog.clock import now
from catalog.errors import Conflict, IdempotencyKeyReused, NotFound
from catalog.pages import Key, Page
from catalog.pages import page as keyset_page
from catalog.search_rows import Search, SearchStatus, SearchTrial
from catalog.submissions import Request
from catalog.tables import TERMINAL, Desired, Job, Metric, Model, Status


@dataclass(frozen=True)
class SearchOrder:
    """A search that passed validation."""

    name: str
    kind: str
    request: Mapping[str, Any]
    """Exactly as written."""
    dataset_id: str
    monitor: str
    idempotency: Request | None = None


@dataclass(frozen=True)
class Trial:
    """A trial as its rows tell it."""

    row: SearchTrial
    job: Job | None
    model: Model | None
    history: Sequence[tuple[int, float]] = field(default=())
    """(epoch, value) of the monitored metric, in the order of steps."""

    @property
    def status(self) -> str:
        """Return the job's status, or pruned, or failed where there is no job."""
        if self.job is None:
            return "failed"
        pruned = self.row.pruned_epoch is not None
        if pruned and self.job.status is Status.CANCELLED:
            return "pruned"
        return self.job.shown_status

    @property
    def is_open(self) -> bool:
        """Say whether its job has not ended."""
        return self.job is not None and self.job.status not in TERMINAL

    @property
    def seconds(self) -> float | None:
        """Return how long its job took, from its first start to its end."""
        ends: tuple[datetime | None, datetime | None] = (None, None)
        if self.job is not None:
            ends = self.job.started_at, self.job.finished_at
        start, end = ends
        return None if start is None or end is None else (end - start).total_seconds()

    def best(self, *, rises: bool) -> tuple[int, float] | None:
        """Return the best value so far and its epoch."""
        better = max if rises else min
        return better(self.history, key=lambda one: one[1], default=None)

    def value(self, monitor: str, *, rises: bool) -> float | None:
        """Return the kept weights' value, or the best so far where there are none."""
        kept = None if self.model is None else self.model.metrics.get(monitor)
        if kept is not None:
            return float(kept)
        best = self.best(rises=rises)
        return None if best is None else best[1]


def add(session: Session, order: SearchOrder) -> Search:
    """Accept a search; the same request returns the one that it made before.

    Raises:
        IdempotencyKeyReused: the key came before with another body.
    """
    on = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    key = order.idempotency
    made: Search | None = session.scalar(
        on.insert(Search)
        .values(
            id=ids.new_id("search"),
            name=order.name,
            kind=order.kind,
            status=SearchStatus.RUNNING,
            request=dict(order.request),
            dataset_id=order.dataset_id,
            monitor=order.monitor,
            idempotency_key=key and key.key,
            request_hash=key and key.request_hash,
        )
        .on_conflict_do_nothing(index_elements=["idempotency_key"])
        .returning(Search)
    )
    if made is not None:
        return made
    assert key is not None
    earlier = repeated(session, key)
    assert earlier is not None
    return earlier


def repeated(session: Session, request: Request) -> Search | None:
    """Return the search that the same request made before.

    Raises:
        IdempotencyKeyReused: the key came before with another body.
    """
    found = session.scalar(select(Search).where(Search.idempotency_key == request.key))
    if found is not None and found.request_hash != request.request_hash:
        raise IdempotencyKeyReused(request.key)
    return found


def get(session: Session, search_id: str) -> Search:
    """Return a search.

    Raises:
        NotFound: there is none with that id.
    """
    found = session.get(Search, search_id)
    if found is None:
        raise NotFound("search", search_id)
    return found


def page(
    session: Session, limit: int, cursor: str | None = None, name: str | None = None
) -> Page[Search]:
    """Return a page of searches, newest first."""
    query = select(Search)
    if name is not None:
        query = query.where(Search.name == name)
    return keyset_page(session, query, [Key(Search.id, descending=True)], limit, cursor)


def alive(session: Session) -> Sequence[str]:
    """Return the searches that have not ended, oldest first."""
    query = select(Search.id).where(Search.finished_at.is_(None))
    return session.scalars(query.order_by(Search.id)).all()


def take(session: Session, search_id: str) -> Search | None:
    """Lock a search that has not ended; None if it has, or somebody else is at it."""
    return session.scalar(
        select(Search)
        .where(Search.id == search_id, Search.finished_at.is_(None))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def trials(session: Session, search: Search) -> list[Trial]:
    """Return the trials of a search, in the order in which they were proposed."""
    rows = session.execute(
        select(SearchTrial, Job, Model)
        .outerjoin(Job, Job.id == SearchTrial.job_id)
        .outerjoin(Model, Model.id == Job.model_id)
        .where(SearchTrial.search_id == search.id)
        .order_by(SearchTrial.number)
        .execution_options(populate_existing=True)
    ).all()
    histories: dict[str, list[tuple[int, float]]] = {}
    measured = session.execute(
        select(Metric.job_id, Metric.epoch, Metric.value)
        .join(SearchTrial, SearchTrial.job_id == Metric.job_id)
        .where(
            SearchTrial.search_id == search.id,
            Metric.name == search.monitor,
            Metric.value.is_not(None),
            ~Metric.archived,
        )
        .order_by(Metric.job_id, Metric.step)
    )
    for job_id, epoch, value in measured:
        assert value is not None
        histories.setdefault(job_id, []).append((epoch, value))
    return [
        Trial(row, job, model, histories.get(row.job_id or "", ()))
        for row, job, model in rows
    ]


def enter(session: Session, trial: SearchTrial) -> None:
    """Write down a trial; its number is new, or nothing of this transaction stays."""
    session.add(trial)
    session.flush()


def judge(session: Session, trial: Trial, rungs: int, pruned_epoch: int | None) -> None:
    """Note the rungs that a trial was judged at, and stop it if it was not good."""
    trial.row.rungs = rungs
    trial.row.pruned_epoch = pruned_epoch
    session.flush()
    if pruned_epoch is not None:
        stop(session, trial)


def stop(session: Session, trial: Trial) -> None:
    """Cancel a trial's job, unless it has ended meanwhile."""
    if trial.job is None or trial.job.desired is Desired.CANCEL:
        return
    try:
        jobs.cancel(session, trial.job.id)
    except Conflict:
        return


def cancel(session: Session, search_id: str) -> Search:
    """Propose no more trials and cancel those that have not ended.

    Raises:
        NotFound: there is no such search.
        Conflict: it has ended.
    """
    search = session.scalar(
        select(Search)
        .where(Search.id == search_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if search is None:
        raise NotFound("search", search_id)
    if search.finished_at is not None:
        raise Conflict(
            f"search {search_id} is {search.status}; it has ended", status=search.status
        )
    search.status = SearchStatus.CANCELLING
    session.flush()
    found = trials(session, search)
    for trial in found:
        if trial.is_open:
            stop(session, trial)
    if not any(trial.is_open for trial in trials(session, search)):
        finish(session, search, SearchStatus.CANCELLED)
    return search


def finish(
    session: Session,
    search: Search,
    status: SearchStatus,
    best: Trial | None = None,
    error: str | None = None,
) -> None:
    """End a search."""
    session.execute(
        update(Search)
        .where(Search.id == search.id, Search.finished_at.is_(None))
        .values(
            status=status,
            best=None if best is None else best.row.number,
            model_id=best.model.id if best and best.model else None,
            error=error,
            finished_at=now(),
        )
        .execution_options(synchronize_session=False)
    )
    session.refresh(search)


def name_winner(session: Session, best: Trial, alias: str) -> None:
    """Point an alias of its name to the best trial's model."""
    if best.model is not None:
        models.set_alias(session, best.model.name, alias, best.model.id)
