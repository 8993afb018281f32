"""Checkpoints: the rows that say which files a job can be resumed from.

A row is committed only after its files are complete and checked, so the newest
committed row is the newest checkpoint. Files are deleted only after a newer row is
committed: a row turns ``deleting``, its files go, then the row goes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.orm import Session

from catalog import events
from catalog.claims import Claim, fence
from catalog.clock import now
from catalog.columns import is_word
from catalog.tables import Checkpoint, CheckpointKind, CheckpointState, Job

KEPT = 2
"""How many of the newest checkpoints stay, beside the best and the final one."""


def add(session: Session, claim: Claim, checkpoint: Mapping[str, Any]) -> list[str]:
    """Write down a checkpoint whose files were checked; return folders to delete.

    `checkpoint` is ``{folder, step, epoch, manifest_sha256, bytes, kind}`` with the
    folder relative to the data folder. The folders returned may be deleted once this
    transaction is committed, and then forgotten with `forget`.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    fence(session, claim)
    row = Checkpoint(
        job_id=claim.job_id,
        attempt=claim.attempt,
        folder=checkpoint["folder"],
        step=checkpoint["step"],
        epoch=checkpoint["epoch"],
        manifest_sha256=checkpoint["manifest_sha256"],
        bytes=checkpoint["bytes"],
        kind=CheckpointKind(checkpoint.get("kind", CheckpointKind.LAST)),
    )
    session.add(row)
    session.flush()
    told = {
        "step": row.step,
        "epoch": row.epoch,
        "kind": row.kind,
        "bytes": row.bytes,
        "manifest_sha256": row.manifest_sha256,
    }
    events.note(session, claim.job_id, "checkpoint", told, claim.attempt)
    return _retain(session, claim.job_id)


def newest(session: Session, job_id: str) -> Checkpoint | None:
    """Return the checkpoint that the next attempt goes on from."""
    return session.scalar(_newest_first(job_id).limit(1))


def of_job(session: Session, job_id: str) -> Sequence[Checkpoint]:
    """Return a job's usable checkpoints, newest first."""
    return session.scalars(_newest_first(job_id)).all()


def mark_broken(session: Session, job_id: str, folder: str) -> None:
    """Never resume from a checkpoint again: its files do not match their hashes."""
    session.execute(
        update(Checkpoint)
        .where(Checkpoint.job_id == job_id, Checkpoint.folder == folder)
        .values(state=CheckpointState.BROKEN)
        .execution_options(synchronize_session=False)
    )


def drop_of_ended(session: Session, seconds: float) -> None:
    """Mark for deletion what jobs left behind that ended that long ago."""
    ended = exists().where(Job.id == Checkpoint.job_id, Job.finished_at < now(-seconds))
    session.execute(
        update(Checkpoint)
        .where(Checkpoint.state != CheckpointState.DELETING, ended)
        .values(state=CheckpointState.DELETING)
        .execution_options(synchronize_session=False)
    )


def deleting(session: Session, limit: int = 100) -> list[str]:
    """Return the folders whose deletion was begun and perhaps not finished."""
    return list(
        session.scalars(
            select(Checkpoint.folder)
            .where(is_word(Checkpoint.state, CheckpointState.DELETING))
            .order_by(Checkpoint.id)
            .limit(limit)
        )
    )


def forget(session: Session, folders: Sequence[str]) -> None:
    """Remove the rows of checkpoints whose files are gone."""
    session.execute(
        delete(Checkpoint)
        .where(
            Checkpoint.folder.in_(folders),
            is_word(Checkpoint.state, CheckpointState.DELETING),
        )
        .execution_options(synchronize_session=False)
    )


def _retain(session: Session, job_id: str) -> list[str]:
    """Mark all but the newest two, the best and the final one for deletion."""
    rows = session.scalars(_newest_first(job_id)).all()
    kept = {row.id for row in rows[:KEPT]}
    for kind in (CheckpointKind.BEST, CheckpointKind.FINAL):
        kept.update(row.id for row in [r for r in rows if r.kind is kind][:1])
    dropped = [row for row in rows if row.id not in kept]
    for row in dropped:
        row.state = CheckpointState.DELETING
    session.flush()
    return [row.folder for row in dropped]


def _newest_first(job_id: str) -> Select[Checkpoint]:
    return (
        select(Checkpoint)
        .where(
            Checkpoint.job_id == job_id,
            is_word(Checkpoint.state, CheckpointState.COMMITTED),
        )
        .order_by(Checkpoint.step.desc(), Checkpoint.id.desc())
    )
