"""Figures of layers that a trainer measured while it trained, by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog.claims import Claim, fence
from catalog.tables import LayerSample


def add(session: Session, claim: Claim, sample: Mapping[str, Any]) -> None:
    """Write down ``{step, epoch, layers}`` of an attempt; a second time is no more.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    fence(session, claim)
    on = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(
        on.insert(LayerSample)
        .values(
            job_id=claim.job_id,
            attempt=claim.attempt,
            step=sample["step"],
            epoch=sample["epoch"],
            layers=list(sample["layers"]),
        )
        .on_conflict_do_nothing()
    )


def newest(session: Session, job_id: str, count: int = 1) -> Sequence[LayerSample]:
    """Return the last samples of a job, newest first."""
    return session.scalars(
        select(LayerSample)
        .where(LayerSample.job_id == job_id)
        .order_by(LayerSample.step.desc())
        .limit(count)
    ).all()


def drop(session: Session, job_id: str, beyond_step: int) -> None:
    """Forget what a resume from a checkpoint will measure again."""
    session.execute(
        delete(LayerSample)
        .where(LayerSample.job_id == job_id, LayerSample.step > beyond_step)
        .execution_options(synchronize_session=False)
    )
