"""Where a model comes from and who came from it: data set → job → model → layer."""

from typing import Any

from sqlalchemy.orm import Session

from catalog import models
from catalog.tables import Dataset, Model


def origin(session: Session, model: Model) -> dict[str, Any]:
    """Return what a model was made of: its data set, its job, its sources."""
    return {
        "dataset": _dataset(session, model.dataset_id),
        "job": model.job_id,
        "attempt": model.attempt,
        "sources": [_named(source) for source in models.sources(session, model.id)],
    }


def trace(session: Session, model: Model) -> dict[str, Any]:
    """Return the lineage down to the layers, and who depends on the model."""
    return {
        "model": _named(model),
        **origin(session, model),
        "layers": _layers(session, model.id),
        "dependants": [
            _named(user) | {"layers": _layers(session, user.id, model.id)}
            for user in models.dependants(session, model.id)
        ],
        "waiting_jobs": models.waiting_jobs(session, model.id),
    }


def _layers(
    session: Session, model_id: str, source_id: str | None = None
) -> list[dict[str, Any]]:
    """Return each layer with its source; those of one source only, if it is given."""
    return [
        {"layer": row.name, "source": row.source, "frozen": row.frozen}
        for row in models.layers(session, model_id)
        if source_id is None or (row.source or "").startswith(source_id)
    ]


def _named(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "is_deleted": model.deleted_at is not None,
    }


def _dataset(session: Session, dataset_id: str | None) -> dict[str, Any] | None:
    dataset = session.get(Dataset, dataset_id) if dataset_id is not None else None
    if dataset is None:
        return None
    return {
        "id": dataset.id,
        "name": dataset.name,
        "version": dataset.version,
        "is_deleted": dataset.deleted_at is not None,
    }
