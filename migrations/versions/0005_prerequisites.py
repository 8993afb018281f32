"""Create the table of which jobs wait for which.

Revision ID: 0005
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.String(40)


def upgrade() -> None:
    op.create_table(
        "job_prerequisites",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("prerequisite_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_stage", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="job_prerequisites_job_id_fk"
        ),
        sa.ForeignKeyConstraint(
            ["prerequisite_id"],
            ["jobs.id"],
            name="job_prerequisites_prerequisite_id_fk",
        ),
        sa.PrimaryKeyConstraint(
            "job_id", "prerequisite_id", name="job_prerequisites_pk"
        ),
    )
    op.create_index(
        "job_prerequisites_by_prerequisite_id",
        "job_prerequisites",
        ["prerequisite_id"],
    )


def downgrade() -> None:
    op.drop_table("job_prerequisites")
