"""The tables of the ledger: jobs, their attempts, events, metrics and checkpoints.

A change here needs a migration; a test compares the two. `Job.status` moves only in
`catalog/jobs.py`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from catalog.clock import now
from catalog.columns import Base, Identity, Prose, Serial, among, words


class Status(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Desired(StrEnum):
    """What people asked of a job; apart from its status, so that the two never race."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class Reason(StrEnum):
    """Why a job failed."""

    INVALID_SPEC = "invalid_spec"
    INVALID_DATA = "invalid_data"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    CRASH_LOOP = "crash_loop"
    INFRASTRUCTURE = "infrastructure"
    TIMEOUT = "timeout"
    PREREQUISITE = "prerequisite"
    """A job that it waited for failed."""


class Job(Base):
    """One accepted spec and its life."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    status: Mapped[Status] = mapped_column(words(Status, "status"))
    desired: Mapped[Desired] = mapped_column(words(Desired, "desired"))
    priority: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    """Number of the newest attempt; it fences every write of an attempt."""
    spec: Mapped[dict[str, Any]]
    """Exactly as written."""
    resolved_spec: Mapped[dict[str, Any]]
    """With every default filled in."""
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    sources: Mapped[list[dict[str, Any]]]
    """One ``{id, folder}`` per entry of the spec's ``reuse``."""
    reuse: Mapped[list[dict[str, Any]] | None]
    """The match table."""
    layers: Mapped[list[dict[str, Any]] | None]
    """The layer table of the resolved network."""
    frozen: Mapped[list[dict[str, Any]] | None]
    """Per frozen tensor its hash before and after."""
    cache: Mapped[dict[str, Any] | None]
    """What the frozen cache did."""
    tags: Mapped[list[str]]
    device: Mapped[str | None] = mapped_column(String(16))
    """The kind of device it must have; None means any."""
    parent: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    """The job that this one retries or clones."""
    worker: Mapped[str | None] = mapped_column(String(100))
    """Who holds the claim."""
    lease_until: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(default=now())
    hinted_at: Mapped[datetime | None] = mapped_column(default=now())
    """When a worker was last told to look; whoever submits does so after the commit."""
    deadline_at: Mapped[datetime | None]
    """When the running attempt uses up the job's time limit."""
    timeout_seconds: Mapped[float | None]
    progress: Mapped[dict[str, Any] | None]
    step: Mapped[int] = mapped_column(Serial, default=0)
    """The newest step that the running attempt told of."""
    death_step: Mapped[int | None] = mapped_column(Serial)
    deaths: Mapped[int] = mapped_column(default=0)
    """Deaths in a row at `death_step` without a new checkpoint."""
    restarts: Mapped[int] = mapped_column(default=0)
    """Infrastructure deaths since the last 30 minutes of progress: sets the backoff."""
    micro_batch: Mapped[int | None]
    """Examples per forward pass after running out of memory; None means the batch."""
    memory_failures: Mapped[int] = mapped_column(default=0)
    reason: Mapped[Reason | None] = mapped_column(words(Reason, "reason"))
    error: Mapped[str | None] = mapped_column(Prose)
    """A sentence that a person can act on."""
    model_id: Mapped[str | None] = mapped_column(Identity)
    """The model it made; no foreign key, because a terminal row outlives its model."""
    created_at: Mapped[datetime] = mapped_column(default=now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        among("status", Status),
        among("desired", Desired),
        CheckConstraint(
            "(status = 'running') = (lease_until IS NOT NULL)",
            name="lease_while_running",
        ),
        CheckConstraint(
            "(status IN ('succeeded', 'failed', 'cancelled'))"
            " = (finished_at IS NOT NULL)",
            name="finished_when_terminal",
        ),
        CheckConstraint(
            "(status = 'failed') = (reason IS NOT NULL)", name="reason_when_failed"
        ),
        Index("jobs_queue", "status", text("priority DESC"), "id"),
        Index("jobs_by_status", "status", "id"),
        Index("jobs_by_name", "name", "id"),
        Index("jobs_by_created_at", "created_at"),
        Index("jobs_by_tag", "tags", postgresql_using="gin").ddl_if("postgresql"),
        # No index on lease_until, and room on the page: a heartbeat stays a HOT update.
        {"postgresql_with": {"fillfactor": 70}},
    )

    @property
    def shown_status(self) -> str:
        """Return the status as users see it: also ``pausing`` and ``cancelling``."""
        if self.status is Status.RUNNING and self.desired is Desired.PAUSE:
            return "pausing"
        if self.status is Status.RUNNING and self.desired is Desired.CANCEL:
            return "cancelling"
        return self.status.value


class JobSource(Base):
    """A model whose layers a job reuses."""

    __tablename__ = "job_sources"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model_id: Mapped[str] = mapped_column(Identity, primary_key=True, index=True)


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    DRAINED = "drained"
    """Given back by a worker that stops."""
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    """The trainer died or hung; its worker lives."""
    LOST = "lost"
    """The worker died or fell silent."""


class Attempt(Base):
    """One try at running a job."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str] = mapped_column(String(100))
    host: Mapped[str | None] = mapped_column(String(255))
    device: Mapped[str | None] = mapped_column(String(40))
    pid: Mapped[int | None]
    """The trainer's process id on its host."""
    checkpoint: Mapped[str | None] = mapped_column(String(255))
    """The folder it started from."""
    started_at: Mapped[datetime] = mapped_column(default=now())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(words(Outcome, "outcome"))
    error: Mapped[str | None] = mapped_column(Prose)
    step: Mapped[int | None] = mapped_column(Serial)
    """The last step that it told of."""
    exit_code: Mapped[int | None]
    """Exit status of the trainer; negative for a signal."""
    resumed_step: Mapped[int | None] = mapped_column(Serial)
    fingerprint: Mapped[dict[str, Any] | None]
    """What the numbers depend on: versions, device, threads."""
    exact: Mapped[bool | None]
    """Whether the resume was on the same fingerprint, hence bit for bit."""

    __table_args__ = (
        Index(
            "attempts_open",
            "worker",
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
    )

    @property
    def seconds(self) -> float:
        """Return how long the attempt ran; 0 while it runs."""
        if self.ended_at is None:
            return 0.0
        return (self.ended_at - self.started_at).total_seconds()


class Event(Base):
    """One line of a job's history; written only while its job's row is locked."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int | None]
    type: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(default=now())
    data: Mapped[dict[str, Any]]
    terminal: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        Index("events_by_job", "job_id", "id"),
        Index(
            "events_end_once",
            "job_id",
            unique=True,
            postgresql_where=text("terminal"),
            sqlite_where=text("terminal"),
        ),
        {"sqlite_autoincrement": True},
    )


class Metric(Base):
    """One measured value; archived when its attempt was rolled back behind it."""

    __tablename__ = "metrics"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(Serial)
    epoch: Mapped[int]
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[float | None]
    """None where the value was not finite."""
    at: Mapped[datetime] = mapped_column(default=now())
    archived: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        Index(
            "metrics_live",
            "job_id",
            "step",
            "name",
            unique=True,
            postgresql_where=text("NOT archived"),
            sqlite_where=text("archived = 0"),
        ),
    )


class CheckpointKind(StrEnum):
    """Why a checkpoint is kept."""

    LAST = "last"
    BEST = "best"
    FINAL = "final"


class CheckpointState(StrEnum):
    """Whether a checkpoint can be resumed from."""

    COMMITTED = "committed"
    BROKEN = "broken"
    """Its files do not match their hashes."""
    DELETING = "deleting"
    """Its files go, then its row."""


class Checkpoint(Base):
    """Everything needed to go on bit for bit; this row is the only "latest"."""

    __tablename__ = "checkpoints"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(Serial)
    epoch: Mapped[int]
    folder: Mapped[str] = mapped_column(String(255))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(Serial)
    kind: Mapped[CheckpointKind] = mapped_column(words(CheckpointKind, "kind"))
    state: Mapped[CheckpointState] = mapped_column(
        words(CheckpointState, "state"), default=CheckpointState.COMMITTED
    )
    at: Mapped[datetime] = mapped_column(default=now())

    __table_args__ = (
        UniqueConstraint("folder"),
        among("kind", CheckpointKind),
        among("state", CheckpointState),
        Index("checkpoints_by_job", "job_id", "step"),
        Index(
            "checkpoints_deleting",
            "id",
            postgresql_where=text("state = 'deleting'"),
            sqlite_where=text("state = 'deleting'"),
        ),
        {"sqlite_autoincrement": True},
    )


class Worker(Base):
    """A process that owns one device."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    pid_started: Mapped[float]
    """When the process started, as its system counts: a pid alone may be reused."""
    boot_id: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(40))
    """``cpu`` or ``cuda:0`` and so on."""
    capacity: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(default=now())
    heartbeat_at: Mapped[datetime] = mapped_column(default=now())
    draining: Mapped[bool] = mapped_column(default=False)
    retired_at: Mapped[datetime | None]
    job_id: Mapped[str | None] = mapped_column(Identity)
    refused_writes: Mapped[int] = mapped_column(default=0)
    """Writes that a fence turned away."""


class Idempotency(Base):
    """A key that made a job, so that the same request makes no second one."""

    __tablename__ = "idempotency"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(
        ForeignKey("jobs.id", deferrable=True, initially="DEFERRED")
    )
    created_at: Mapped[datetime] = mapped_column(default=now(), index=True)


class SweepState(Base):
    """The one row that makes one process at a time the sweeper."""

    __tablename__ = "sweeps"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    swept_at: Mapped[datetime | None]
    """When the last sweep ran."""
    grace_until: Mapped[datetime | None]
    """Until then nothing expires: sweeps had stopped, perhaps heartbeats too."""
    cleaned_at: Mapped[datetime | None]
    """When orphan folders were last looked for."""
