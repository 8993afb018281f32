"""The tables of the catalog: data sets, models, their layers and aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from catalog.clock import now
from catalog.columns import Base, Identity, Prose, Serial


class Dataset(Base):
    """One immutable version of uploaded data."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    """Hash of the content; several versions may share one folder."""
    folder: Mapped[str] = mapped_column(String(255))
    rows: Mapped[int] = mapped_column(Serial)
    bytes: Mapped[int] = mapped_column(Serial)
    schema: Mapped[dict[str, Any]]
    """`trainer.spec.data.schema.Schema` as JSON."""
    report: Mapped[dict[str, Any]]
    """What the preflight found."""
    options: Mapped[dict[str, Any]]
    """How the upload was read: delimiter, quote, header, missing."""
    created_at: Mapped[datetime] = mapped_column(default=now())
    deleted_at: Mapped[datetime | None]
    """The row stays for the lineage of models; the files are gone."""

    __table_args__ = (UniqueConstraint("name", "version"),)


class Model(Base):
    """A catalogued network."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    """None for an imported model."""
    attempt: Mapped[int | None]
    dataset_id: Mapped[str | None] = mapped_column(
        ForeignKey("datasets.id"), index=True
    )
    task: Mapped[str] = mapped_column(String(32))
    folder: Mapped[str] = mapped_column(String(255), unique=True)
    metrics: Mapped[dict[str, Any]]
    """Name → final value of the kept weights."""
    accuracy: Mapped[float | None]
    """The accuracy that lists filter and sort by: test, else validation."""
    monitored: Mapped[dict[str, Any] | None]
    """``{name, value, mode}`` of the metric that chose the kept weights."""
    parameters: Mapped[int] = mapped_column(Serial)
    bytes: Mapped[int] = mapped_column(Serial)
    files: Mapped[dict[str, Any]]
    """Name → ``{sha256, bytes}``."""
    card: Mapped[dict[str, Any]]
    """Whatever else model.json tells: classes, input, target, training, seconds."""
    description: Mapped[str | None] = mapped_column(Prose)
    tags: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=now())
    exported_at: Mapped[datetime | None]
    """When the graph for predictions was written and checked."""
    export: Mapped[dict[str, Any] | None]
    """What the check said; ``error`` when it failed for good."""
    export_hinted_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    """The row stays for the lineage of others; the files are gone."""

    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("models_by_task", "task", "id"),
        Index("models_by_accuracy", "accuracy", "id"),
        Index("models_by_tag", "tags", postgresql_using="gin").ddl_if("postgresql"),
        Index(
            "models_to_export",
            "id",
            postgresql_where=text("exported_at IS NULL"),
            sqlite_where=text("exported_at IS NULL"),
        ),
    )


class ModelLayer(Base):
    """A named layer of a model, in the network's order."""

    __tablename__ = "model_layers"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(40))
    parameters: Mapped[int] = mapped_column(Serial)
    frozen: Mapped[bool]
    source: Mapped[str | None] = mapped_column(String(255))
    """Where its weights came from, ``model/layer``; None for a new layer."""
    detail: Mapped[dict[str, Any]]
    """The layer's object in model.json: inputs, shapes, tensors with their hashes."""

    __table_args__ = (UniqueConstraint("model_id", "name"),)


class ModelSource(Base):
    """A model that another took layers from."""

    __tablename__ = "model_sources"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    source_id: Mapped[str] = mapped_column(
        ForeignKey("models.id"), primary_key=True, index=True
    )


class ModelExport(Base):
    """A form that somebody wants a model in; the file is among the model's others."""

    __tablename__ = "model_exports"

    id: Mapped[str] = mapped_column(Identity, primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    format: Mapped[str] = mapped_column(String(40))
    attempt: Mapped[int] = mapped_column(default=0)
    """How often a worker has begun; it fences what an earlier one writes."""
    worker: Mapped[str | None] = mapped_column(String(100))
    """Who is at it."""
    taken_until: Mapped[datetime | None]
    """Until then nobody else begins."""
    hinted_at: Mapped[datetime | None]
    requested_at: Mapped[datetime] = mapped_column(default=now())
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Prose)
    """Why there is no file, once it is certain."""
    report: Mapped[dict[str, Any] | None]
    """What the check of the file said."""

    __table_args__ = (
        UniqueConstraint("model_id", "format"),
        Index(
            "model_exports_waiting",
            "id",
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
    )


class Alias(Base):
    """A name for one version of a model: ``latest``, ``best`` or a person's own."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    alias: Mapped[str] = mapped_column(String(100), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    updated_at: Mapped[datetime] = mapped_column(default=now(), onupdate=now())
