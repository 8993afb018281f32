"""The table of which jobs wait for which: stages of a chain, sources yet to be made."""

from sqlalchemy import ColumnElement, ForeignKey, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from catalog.columns import Base, Identity, is_word
from catalog.ledger import Job, Status


class JobPrerequisite(Base):
    """A job that must succeed before another one is taken."""

    __tablename__ = "job_prerequisites"

    job_id: Mapped[str] = mapped_column(
        Identity, ForeignKey("jobs.id"), primary_key=True
    )
    """The job that waits."""
    prerequisite_id: Mapped[str] = mapped_column(
        Identity, ForeignKey("jobs.id"), primary_key=True, index=True
    )
    position: Mapped[int]
    """Its place among those that the job waits for, from 0."""
    is_stage: Mapped[bool]
    """Whether it was made for this job: then it is cancelled with it."""


def is_ready() -> ColumnElement[bool]:
    """Return the condition that a job waits for no other any more."""
    first = aliased(Job)
    unmet = (
        select(JobPrerequisite.job_id)
        .join(first, first.id == JobPrerequisite.prerequisite_id)
        .where(
            JobPrerequisite.job_id == Job.id,
            ~is_word(first.status, Status.SUCCEEDED),
        )
        .correlate(Job)
    )
    return ~unmet.exists()
