"""Create the tables of searches and their trials.

Revision ID: 0004
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.String(40)
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    op.create_table(
        "searches",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("monitor", sa.String(100), nullable=False),
        sa.Column("best", sa.Integer(), nullable=True),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("request_hash", sa.String(64), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="searches_dataset_id_fk"
        ),
        sa.PrimaryKeyConstraint("id", name="searches_pk"),
        sa.UniqueConstraint("idempotency_key", name="searches_idempotency_key_unique"),
        sa.CheckConstraint(
            "status IN ('running', 'cancelling', 'succeeded', 'failed', 'cancelled')",
            name="status_known",
        ),
    )
    op.create_index("searches_by_name", "searches", ["name"])
    op.create_index(
        "searches_alive",
        "searches",
        ["id"],
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "search_trials",
        sa.Column("search_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("draws", sa.JSON(), nullable=False),
        sa.Column("rungs", sa.Integer(), nullable=False),
        sa.Column("pruned_epoch", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name="search_trials_search_id_fk"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="search_trials_job_id_fk"
        ),
        sa.PrimaryKeyConstraint("search_id", "number", name="search_trials_pk"),
        sa.UniqueConstraint("job_id", name="search_trials_job_id_unique"),
    )


def downgrade() -> None:
    op.drop_table("search_trials")
    op.drop_table("searches")
