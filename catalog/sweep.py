"""The sweep: what time alone makes necessary, by any process, one at a time.

It expires leases and time limits, sends hints again, and removes what nothing refers
to. It is idempotent and may run anywhere and often; the row in ``sweeps`` makes one
process at a time do it, and remembers when the last one ran. If that is long ago, the
database or everybody was away and heartbeats may have been missed for no fault of the
workers: then nothing expires for one more lease.
"""

import math
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog import checkpoints, datasets, exports, folders, jobs, queue
from catalog.clock import now
from catalog.columns import is_word
from catalog.session import reading, transaction
from catalog.settings import settings
from catalog.tables import (
    Checkpoint,
    Idempotency,
    Job,
    Model,
    Status,
    SweepState,
    Worker,
)

NAME = "sweep"
EXPORT_SECONDS = 60
"""Age at which a model without a graph is hinted again."""
KEY_SECONDS = 7 * 86_400
"""How long an idempotency key is remembered."""
KEPT_SECONDS = 7 * 86_400
"""How long the checkpoints of an ended job are kept."""
ORPHAN_SECONDS = 86_400
"""Age at which a folder that no row refers to is removed."""
SILENT_SECONDS = 86_400
"""Silence after which a worker is taken to be gone for good."""
CLEAN_SECONDS = 3600
"""How often orphan folders are looked for."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found to be done outside the database."""

    hints: list[str] = field(default_factory=list)
    """Queued jobs to send a hint for."""
    exports: list[str] = field(default_factory=list)
    """Models that lack their graph for predictions, or a form that was asked for."""
    expired: list[str] = field(default_factory=list)
    """Jobs that were taken from a worker that fell silent."""
    folders: list[str] = field(default_factory=list)
    """Folders of dropped checkpoints, to delete and then forget."""
    cleaning: bool = False
    """Whether it is time to look for orphan folders."""


def sweep(session: Session, interval_seconds: float = 5.0) -> Swept:
    """Do one sweep; nothing if another process is at it.

    `interval_seconds` is how often the caller sweeps.
    """
    state = _lead(session, interval_seconds)
    if state is None:
        return Swept()
    expired = [] if state.in_grace else _expire(session)
    _time_out(session)
    _forget(session)
    if state.cleaning:
        checkpoints.drop_of_ended(session, KEPT_SECONDS)
    return Swept(
        hints=queue.wake(session),
        exports=sorted({*_unexported(session), *exports.due(session)}),
        expired=expired,
        folders=checkpoints.deleting(session),
        cleaning=state.cleaning,
    )


def run(interval_seconds: float = 5.0) -> Swept:
    """Sweep in a transaction of its own, then delete what it found to be garbage."""
    with transaction() as session:
        swept = sweep(session, interval_seconds)
    if swept.folders:
        remove_checkpoints(swept.folders)
    if swept.cleaning:
        datasets.remove_leftovers()
        for orphan in orphans():
            shutil.rmtree(orphan, ignore_errors=True)
    return swept


def remove_checkpoints(dropped: list[str]) -> None:
    """Delete the files of dropped checkpoints, then their rows."""
    for folder in dropped:
        shutil.rmtree(folders.absolute(folder), ignore_errors=True)
    gone = [folder for folder in dropped if not folders.absolute(folder).exists()]
    with transaction() as session:
        checkpoints.forget(session, gone)


def orphans() -> list[Path]:
    """Return folders that no row refers to, a day after their last change."""
    data = settings().folder
    found = _old([*data.glob("jobs/*"), *data.glob("models/*")])
    found += _old(data.glob("jobs/*/a*/checkpoints/*"))
    with reading() as session:
        jobs_kept = session.scalars(select(Job.id))
        models_kept = session.scalars(
            select(Model.folder).where(Model.deleted_at.is_(None))
        )
        kept = {
            *(f"jobs/{job_id}" for job_id in jobs_kept),
            *models_kept,
            *session.scalars(select(Checkpoint.folder)),
        }
    return [path for path in found if str(path.relative_to(data)) not in kept]


@dataclass(frozen=True)
class _Lead:
    """What the sweeper's row says to whoever got it."""

    in_grace: bool
    cleaning: bool


def _lead(session: Session, interval_seconds: float) -> _Lead | None:
    """Become the sweeper for this transaction; None if another is or just was."""
    on = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(on.insert(SweepState).values(name=NAME).on_conflict_do_nothing())
    silence = max(settings().lease_seconds / 2, 3 * interval_seconds)
    found = session.execute(
        select(
            or_(
                SweepState.swept_at.is_(None), SweepState.swept_at < now(-silence)
            ).label("silent"),
            (SweepState.swept_at > now(-interval_seconds / 2)).label("recent"),
            (SweepState.grace_until > now()).label("in_grace"),
            or_(
                SweepState.cleaned_at.is_(None),
                SweepState.cleaned_at < now(-CLEAN_SECONDS),
            ).label("cleaning"),
        )
        .where(SweepState.name == NAME)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None or found.recent:
        return None
    grace = settings().grace_seconds
    changed: dict[str, Any] = {"swept_at": now()}
    if found.silent:
        changed["grace_until"] = now(grace)
    if found.cleaning:
        changed["cleaned_at"] = now()
    session.execute(
        update(SweepState)
        .where(SweepState.name == NAME)
        .values(**changed)
        .execution_options(synchronize_session=False)
    )
    in_grace = grace > 0 if found.silent else bool(found.in_grace)
    return _Lead(in_grace=in_grace, cleaning=found.cleaning)


def _expire(session: Session) -> list[str]:
    """Take the jobs of silent workers away; each goes where people want it to go."""
    silent = _running_until(session, Job.lease_until)
    return [jobs.lose(session, job, "lease_expired").id for job in silent]


def _time_out(session: Session) -> None:
    """End the jobs that used up the time that their specs allow."""
    for job in _running_until(session, Job.deadline_at):
        jobs.time_out(session, job)


def _running_until(
    session: Session, moment: InstrumentedAttribute[datetime | None]
) -> Sequence[Job]:
    """Lock the running jobs for which a moment has passed."""
    return session.scalars(
        select(Job)
        .where(is_word(Job.status, Status.RUNNING), moment < now())
        .order_by(Job.id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()


def _unexported(session: Session) -> list[str]:
    """Return models whose graph is overdue, and note that they are hinted now."""
    overdue = now(-EXPORT_SECONDS)
    hinted = or_(Model.export_hinted_at.is_(None), Model.export_hinted_at < overdue)
    chosen = session.scalars(
        update(Model)
        .where(
            Model.exported_at.is_(None),
            Model.export.is_(None),
            Model.deleted_at.is_(None),
            Model.created_at < overdue,
            hinted,
        )
        .values(export_hinted_at=now())
        .returning(Model.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(chosen)


def _forget(session: Session) -> None:
    """Drop rows that nobody asks for any more."""
    old = Idempotency.created_at < now(-KEY_SECONDS)
    session.execute(delete(Idempotency).where(old))
    gone = Worker.retired_at.is_(None) & (Worker.heartbeat_at < now(-SILENT_SECONDS))
    session.execute(
        update(Worker)
        .where(gone)
        .values(retired_at=now())
        .execution_options(synchronize_session=False)
    )


def _old(paths: Iterable[Path]) -> list[Path]:
    """Choose the folders that did not change for a day."""
    latest = time.time() - ORPHAN_SECONDS
    return [path for path in paths if path.is_dir() and _changed_at(path) < latest]


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process was quicker
        return math.inf
