"""Create the catalog of models: layers, sources, aliases.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(40)
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.JSON().with_variant(JSONB(), "postgresql")

TABLES = (
    "models",
    "aliases",
    "model_layers",
    "model_sources",
)


def upgrade() -> None:
    _create_models()
    _create_aliases()
    _create_model_layers()
    _create_model_sources()


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


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("dataset_id", ID, nullable=True),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("folder", sa.String(255), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("monitored", sa.JSON(), nullable=True),
        sa.Column("parameters", SERIAL, nullable=False),
        sa.Column("bytes", SERIAL, nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("tags", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("exported_at", MOMENT, nullable=True),
        sa.Column("export", sa.JSON(), nullable=True),
        sa.Column("export_hinted_at", MOMENT, nullable=True),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="models_dataset_id_fk"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="models_job_id_fk"),
        sa.PrimaryKeyConstraint("id", name="models_pk"),
        sa.UniqueConstraint("folder", name="models_folder_unique"),
        sa.UniqueConstraint("job_id", name="models_job_id_unique"),
        sa.UniqueConstraint("name", "version", name="models_name_version_unique"),
    )
    op.create_index("models_by_accuracy", "models", ["accuracy", "id"])
    op.create_index("models_by_dataset_id", "models", ["dataset_id"])
    _gin("models_by_tag", "models", "tags")
    op.create_index("models_by_task", "models", ["task", "id"])
    _partial("models_to_export", "models", ["id"], "exported_at IS NULL")


def _create_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("alias", sa.String(100), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="aliases_model_id_fk"
        ),
        sa.PrimaryKeyConstraint("name", "alias", name="aliases_pk"),
    )
    op.create_index("aliases_by_model_id", "aliases", ["model_id"])


def _create_model_layers() -> None:
    op.create_table(
        "model_layers",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", ID, nullable=False),
        sa.Column("parameters", SERIAL, nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(255), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="model_layers_model_id_fk"
        ),
        sa.PrimaryKeyConstraint("model_id", "position", name="model_layers_pk"),
        sa.UniqueConstraint(
            "model_id", "name", name="model_layers_model_id_name_unique"
        ),
    )


def _create_model_sources() -> None:
    op.create_table(
        "model_sources",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="model_sources_model_id_fk"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["models.id"], name="model_sources_source_id_fk"
        ),
        sa.PrimaryKeyConstraint("model_id", "source_id", name="model_sources_pk"),
    )
    op.create_index("model_sources_by_source_id", "model_sources", ["source_id"])
