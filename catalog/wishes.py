"""What people ask of a running attempt beside pause and cancel: a checkpoint, now.

A wish is an event of the job, so it is kept, ordered and seen like any other; the
worker that runs the attempt looks for wishes newer than the last one it fulfilled.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import events
from catalog.claims import Claim
from catalog.errors import Conflict, NotFound
from catalog.tables import Event, Job, Status

CHECKPOINT_ASKED = "checkpoint_asked"


def ask_for_checkpoint(session: Session, job_id: str) -> Job:
    """Ask the running attempt of a job to write a checkpoint soon.

    Raises:
        NotFound: there is no such job.
        Conflict: nobody runs the job.
    """
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None:
        raise NotFound("job", job_id)
    if job.shown_status != Status.RUNNING:
        raise Conflict(
            f"job {job_id} is {job.shown_status}; only a running job can write"
            " a checkpoint",
            status=job.shown_status,
        )
    events.add(session, job_id, CHECKPOINT_ASKED, {}, job.attempt)
    return job


def newest(session: Session, claim: Claim, after_event: int = 0) -> int | None:
    """Return the id of the attempt's newest wish for a checkpoint, if it is new."""
    return session.scalar(
        select(func.max(Event.id)).where(
            Event.job_id == claim.job_id,
            Event.id > after_event,
            Event.attempt == claim.attempt,
            Event.type == CHECKPOINT_ASKED,
        )
    )
