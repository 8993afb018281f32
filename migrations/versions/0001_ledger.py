"""Create the ledger: data sets, jobs and what belongs to them, workers.

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(40)
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.JSON().with_variant(JSONB(), "postgresql")

TABLES = (
    "datasets",
    "sweeps",
    "workers",
    "jobs",
    "attempts",
    "checkpoints",
    "events",
    "idempotency",
    "job_sources",
    "metrics",
)


def upgrade() -> None:
    _create_datasets()
    _create_sweeps()
    _create_workers()
    _create_jobs()
    _create_attempts()
    _create_checkpoints()
    _create_events()
    _create_idempotency()
    _create_job_sources()
    _create_metrics()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _partial(
    name: str, table: str, columns: list[Any], where: str, *, unique: bool = False
) -> None:
    """Create an index of only those rows that a condition holds for."""
    condition = sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _gin(name: str, table: str, column: str) -> None:
    """Create an index of the members of a JSON list, where the database has one."""
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(name, table, [column], postgresql_using="gin")


def _create_datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("folder", sa.String(255), nullable=False),
        sa.Column("rows", SERIAL, nullable=False),
        sa.Column("bytes", SERIAL, nullable=False),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="datasets_pk"),
        sa.UniqueConstraint("name", "version", name="datasets_name_version_unique"),
    )
    op.create_index("datasets_by_sha256", "datasets", ["sha256"])


def _create_sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("swept_at", MOMENT, nullable=True),
        sa.Column("grace_until", MOMENT, nullable=True),
        sa.Column("cleaned_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="sweeps_pk"),
    )


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_started", sa.Double(), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("device", ID, nullable=False),
        sa.Column("capacity", sa.JSON(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("retired_at", MOMENT, nullable=True),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("refused_writes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="workers_pk"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("desired", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("resolved_spec", sa.JSON(), nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("reuse", sa.JSON(), nullable=True),
        sa.Column("layers", sa.JSON(), nullable=True),
        sa.Column("frozen", sa.JSON(), nullable=True),
        sa.Column("cache", sa.JSON(), nullable=True),
        sa.Column("tags", WORDS, nullable=False),
        sa.Column("device", sa.String(16), nullable=True),
        sa.Column("parent", ID, nullable=True),
        sa.Column("worker", sa.String(100), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("run_after", MOMENT, nullable=False),
        sa.Column("hinted_at", MOMENT, nullable=True),
        sa.Column("deadline_at", MOMENT, nullable=True),
        sa.Column("timeout_seconds", sa.Double(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("step", SERIAL, nullable=False),
        sa.Column("death_step", SERIAL, nullable=True),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("micro_batch", sa.Integer(), nullable=True),
        sa.Column("memory_failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(status = 'failed') = (reason IS NOT NULL)", name="reason_when_failed"
        ),
        sa.CheckConstraint(
            "(status = 'running') = (lease_until IS NOT NULL)",
            name="lease_while_running",
        ),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed', 'cancelled'))"
            " = (finished_at IS NOT NULL)",
            name="finished_when_terminal",
        ),
        sa.CheckConstraint(
            "desired IN ('run', 'pause', 'cancel')", name="desired_known"
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'paused', "
            "'succeeded', 'failed', 'cancelled')",
            name="status_known",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="jobs_dataset_id_fk"
        ),
        sa.ForeignKeyConstraint(["parent"], ["jobs.id"], name="jobs_parent_fk"),
        sa.PrimaryKeyConstraint("id", name="jobs_pk"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("jobs_by_created_at", "jobs", ["created_at"])
    op.create_index("jobs_by_dataset_id", "jobs", ["dataset_id"])
    op.create_index("jobs_by_name", "jobs", ["name", "id"])
    op.create_index("jobs_by_parent", "jobs", ["parent"])
    op.create_index("jobs_by_status", "jobs", ["status", "id"])
    _gin("jobs_by_tag", "jobs", "tags")
    op.create_index("jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.String(100), nullable=False),
        sa.Column("host", sa.String(255), nullable=True),
        sa.Column("device", ID, nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("checkpoint", sa.String(255), nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("step", SERIAL, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("resumed_step", SERIAL, nullable=True),
        sa.Column("fingerprint", sa.JSON(), nullable=True),
        sa.Column("exact", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="attempts_job_id_fk"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="attempts_pk"),
    )
    _partial("attempts_open", "attempts", ["worker"], "ended_at IS NULL")


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", SERIAL, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("folder", sa.String(255), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("bytes", SERIAL, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('last', 'best', 'final')", name="kind_known"),
        sa.CheckConstraint(
            "state IN ('committed', 'broken', 'deleting')",
            name="state_known",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="checkpoints_job_id_fk"),
        sa.PrimaryKeyConstraint("id", name="checkpoints_pk"),
        sa.UniqueConstraint("folder", name="checkpoints_folder_unique"),
        sqlite_autoincrement=True,
    )
    op.create_index("checkpoints_by_job", "checkpoints", ["job_id", "step"])
    _partial("checkpoints_deleting", "checkpoints", ["id"], "state = 'deleting'")


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("terminal", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="events_job_id_fk"),
        sa.PrimaryKeyConstraint("id", name="events_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_job", "events", ["job_id", "id"])
    _partial("events_end_once", "events", ["job_id"], "terminal", unique=True)


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
            name="idempotency_job_id_fk",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("key", name="idempotency_pk"),
    )
    op.create_index("idempotency_by_created_at", "idempotency", ["created_at"])


def _create_job_sources() -> None:
    op.create_table(
        "job_sources",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="job_sources_job_id_fk"),
        sa.PrimaryKeyConstraint("job_id", "model_id", name="job_sources_pk"),
    )
    op.create_index("job_sources_by_model_id", "job_sources", ["model_id"])


def _create_metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", SERIAL, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="metrics_job_id_fk"),
        sa.PrimaryKeyConstraint("id", name="metrics_pk"),
    )
    op.create_index(
        "metrics_live",
        "metrics",
        ["job_id", "step", "name"],
        unique=True,
        postgresql_where=sa.text("NOT archived"),
        sqlite_where=sa.text("archived = 0"),
    )
