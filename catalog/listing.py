"""Finding jobs: pages of the list, and how many there are."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from catalog.columns import has_member, is_word
from catalog.pages import Key, Page
from catalog.pages import page as keyset_page
from catalog.tables import Desired, Job, JobSource, SearchTrial, Status

SHOWN = (*(status.value for status in Status), "pausing", "cancelling")
"""The statuses that users see and can ask for."""


@dataclass(frozen=True)
class Filters:
    """Which jobs a list shows; None means all."""

    status: str | None = None
    """One of `SHOWN`."""
    name: str | None = None
    model: str | None = None
    """Id of a model that the job made or takes layers from."""
    tag: str | None = None
    created_after: datetime | None = None
    dataset: str | None = None
    """Id of the data set."""
    parent: str | None = None
    search: str | None = None
    """Id of the search whose trials are shown."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filters as SQL."""
        found: list[ColumnElement[bool]] = []
        if self.status is not None:
            found.append(_shown_as(self.status))
        if self.model is not None:
            reuses = exists().where(
                JobSource.job_id == Job.id, JobSource.model_id == self.model
            )
            found.append(or_(Job.model_id == self.model, reuses))
        if self.tag is not None:
            found.append(has_member(Job.tags, self.tag))
        if self.created_after is not None:
            found.append(Job.created_at > self.created_after)
        if self.search is not None:
            is_trial = exists().where(
                SearchTrial.job_id == Job.id, SearchTrial.search_id == self.search
            )
            found.append(is_trial)
        plain = (
            (Job.name, self.name),
            (Job.dataset_id, self.dataset),
            (Job.parent, self.parent),
        )
        found.extend(column == value for column, value in plain if value is not None)
        return found


def page(
    session: Session, filters: Filters, limit: int, cursor: str | None = None
) -> Page[Job]:
    """Return a page of jobs, newest first.

    Raises:
        MalformedCursor: the cursor was not made by this list.
    """
    query = select(Job).where(*filters.conditions())
    return keyset_page(session, query, [Key(Job.id, descending=True)], limit, cursor)


def counts(session: Session) -> dict[str, int]:
    """Return how many jobs there are of each status that users see."""
    found = dict.fromkeys(SHOWN, 0)
    rows = session.execute(
        select(Job.status, Job.desired, func.count()).group_by(Job.status, Job.desired)
    )
    for status, desired, number in rows:
        found[Job(status=status, desired=desired).shown_status] += number
    return found


def _shown_as(status: str) -> ColumnElement[bool]:
    running = is_word(Job.status, Status.RUNNING)
    if status == "pausing":
        return and_(running, is_word(Job.desired, Desired.PAUSE))
    if status == "cancelling":
        return and_(running, is_word(Job.desired, Desired.CANCEL))
    if status == Status.RUNNING:
        return and_(running, is_word(Job.desired, Desired.RUN))
    return is_word(Job.status, Status(status))
