"""What an attempt holds while it runs a job, and the fence before its writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from catalog.columns import is_word
from catalog.errors import Fenced
from catalog.tables import Desired, Job, Status


@dataclass(frozen=True)
class Claim:
    """One attempt's right to a job. Folders are relative to the data folder."""

    job_id: str
    attempt: int
    name: str
    spec: dict[str, Any]
    """The resolved spec."""
    dataset_id: str
    dataset_folder: str
    sources: Sequence[dict[str, Any]]
    """One ``{id, folder}`` per entry of the spec's ``reuse``."""
    checkpoint: str | None
    """The folder to go on from; None means from the start."""
    checkpoint_step: int
    checkpoint_sha256: str | None
    """Hash of that checkpoint's manifest."""
    micro_batch: int | None
    written: dict[str, Any] | None = None
    """The spec as it was submitted."""


def held(claim: Claim) -> ColumnElement[bool]:
    """Return the condition that the claim still holds its job."""
    return and_(
        Job.id == claim.job_id,
        Job.attempt == claim.attempt,
        is_word(Job.status, Status.RUNNING),
    )


def fence(session: Session, claim: Claim) -> Job:
    """Lock the job for this transaction's writes; the first call of each of them.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    job = session.scalar(
        select(Job)
        .where(held(claim))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise Fenced(claim.job_id, claim.attempt)
    return job


def desired(session: Session, claim: Claim) -> Desired:
    """Return what people want of the job, without writing: cheap enough each second.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    wanted = session.scalar(select(Job.desired).where(held(claim)))
    if wanted is None:
        raise Fenced(claim.job_id, claim.attempt)
    return wanted
