"""Create the table of layers' health.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(40)
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "layer_samples",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", SERIAL, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("layers", sa.JSON(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="layer_samples_job_id_fk"
        ),
        sa.PrimaryKeyConstraint("id", name="layer_samples_pk"),
        sa.UniqueConstraint("job_id", "step", name="layer_samples_job_id_step_unique"),
    )


def downgrade() -> None:
    op.drop_table("layer_samples")
