"""The tables of searches: a search, and its trials, each of which is a job."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from catalog.clock import now
from catalog.columns import Base, Identity, Prose, among, words


class SearchStatus(StrEnum):
    """Where a search stands."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """No trial made a model."""
    CANCELLED = "cancelled"


class Search(Base):
    """One accepted search; what it did is in its trials and their jobs."""

    __tablename__ = "searches"

    id: Mapped[str] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    status: Mapped[SearchStatus] = mapped_column(words(SearchStatus, "status"))
    request: Mapped[dict[str, Any]]
    """Exactly as written."""
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    monitor: Mapped[str] = mapped_column(String(100))
    """The metric that is made good."""
    best: Mapped[int | None]
    """Number of the best trial, once the search has ended."""
    model_id: Mapped[str | None] = mapped_column(Identity)
    """The best trial's model; no foreign key, because it may be deleted."""
    error: Mapped[str | None] = mapped_column(Prose)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        among("status", SearchStatus),
        Index(
            "searches_alive",
            "id",
            postgresql_where=text("finished_at IS NULL"),
            sqlite_where=text("finished_at IS NULL"),
        ),
    )


class SearchTrial(Base):
    """One trial; its number is its key, so that none can be made twice."""

    __tablename__ = "search_trials"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    """Its job; None where its values made no valid spec."""
    parameters: Mapped[dict[str, Any]]
    """Values by JSON Pointer into the spec."""
    draws: Mapped[dict[str, Any]]
    """The same as the sampler knows them: of a choice the place in the list."""
    rungs: Mapped[int] = mapped_column(default=0)
    """How many rungs it was judged at."""
    pruned_epoch: Mapped[int | None]
    """The epoch whose value stopped it early."""
    error: Mapped[str | None] = mapped_column(Prose)

    __table_args__ = (UniqueConstraint("job_id"),)
