"""Forms that people want a model in: asked for, taken by a worker, written, shown.

The row is the truth: whoever takes it holds it for a while, and what a worker that was
lost held is taken again. A form that is there stays; asking twice makes no second one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from catalog import ids
from catalog.clock import now
from catalog.settings import settings
from catalog.tables import Dataset, Model, ModelExport
from trainer.spec.exports import ExportFormat

TRIES = 5
"""Attempts after which a form that no worker survives is given up."""

FREE: dict[str, Any] = {"worker": None, "taken_until": None, "hinted_at": None}
"""What a request is that nobody holds any more: the next sweep hints at it."""

ExportStatus = Literal["queued", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class Taken:
    """A form that one worker writes now."""

    export_id: str
    attempt: int
    model_id: str
    format: ExportFormat
    folder: str
    """The model's folder, relative to the data folder."""
    dataset: str | None
    """That of the data it learned from, if it is still there: for a check on rows."""


def status_of(export: ModelExport) -> ExportStatus:
    """Return where a request stands."""
    if export.ended_at is not None:
        return "failed" if export.error is not None else "succeeded"
    return "running" if export.worker is not None else "queued"


def ask(session: Session, model: Model, wanted: ExportFormat) -> ModelExport:
    """Enter a request; one that waits or is done already is returned as it is.

    One that failed makes room for a new one.
    """
    session.get(Model, model.id, with_for_update=True)
    row = find(session, model.id, wanted)
    if row is not None and row.error is not None:
        session.delete(row)  # a worker that was lost still names the old one
        session.flush()
        row = None
    if row is None:
        row = ModelExport(id=ids.new_id("exp"), model_id=model.id, format=wanted)
        session.add(row)
        session.flush()
    return row


def find(session: Session, model_id: str, wanted: str) -> ModelExport | None:
    """Return the request for one form of a model."""
    return session.scalar(
        select(ModelExport).where(
            ModelExport.model_id == model_id, ModelExport.format == wanted
        )
    )


def of_model(session: Session, model_id: str) -> Sequence[ModelExport]:
    """Return the requests for a model, in the order in which they were made."""
    query = select(ModelExport).where(ModelExport.model_id == model_id)
    return session.scalars(query.order_by(ModelExport.id)).all()


def take(session: Session, worker: str, seconds: float) -> Taken | None:
    """Take the oldest request that waits, for so long; None if there is none."""
    _give_up(session)
    free = or_(ModelExport.taken_until.is_(None), ModelExport.taken_until < now())
    oldest = (
        select(ModelExport.id)
        .join(Model, Model.id == ModelExport.model_id)
        .where(ModelExport.ended_at.is_(None), free, _ready())
        .order_by(ModelExport.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=ModelExport)
    )
    row = session.scalar(
        update(ModelExport)
        .where(ModelExport.id == oldest.scalar_subquery())
        .values(
            attempt=ModelExport.attempt + 1, worker=worker, taken_until=now(seconds)
        )
        .returning(ModelExport)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if row is None:
        return None
    model = session.get_one(Model, row.model_id)
    data = session.get(Dataset, model.dataset_id) if model.dataset_id else None
    there = data is not None and data.deleted_at is None
    wanted: Any = row.format
    return Taken(
        export_id=row.id,
        attempt=row.attempt,
        model_id=model.id,
        format=wanted,
        folder=model.folder,
        dataset=data.folder if data is not None and there else None,
    )


def succeeded(
    session: Session,
    taken: Taken,
    report: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Note that a form is written and checked; False if it is another's by now."""
    model = session.get(Model, taken.model_id, with_for_update=True)
    if model is None or not _end(session, taken, error=None, report=dict(report)):
        return False
    model.files = model.files | {name: dict(file) for name, file in files.items()}
    model.bytes = sum(int(file["bytes"]) for file in model.files.values())
    session.flush()
    return True


def failed(session: Session, taken: Taken, error: str) -> bool:
    """Note why a form cannot be written; False if it is another's by now."""
    return _end(session, taken, error=error, report=None)


def give_back(session: Session, taken: Taken) -> None:
    """Let others take a form again whose writer died."""
    session.execute(_held(taken).values(**FREE))


def release(session: Session, worker: str) -> None:
    """Free what a dead worker held."""
    session.execute(
        update(ModelExport)
        .where(ModelExport.worker == worker, ModelExport.ended_at.is_(None))
        .values(**FREE)
        .execution_options(synchronize_session=False)
    )


def due(session: Session) -> list[str]:
    """Return models with forms that nobody writes, and note that they are hinted."""
    _give_up(session)
    overdue = now(-settings().hint_seconds)
    free = or_(ModelExport.taken_until.is_(None), ModelExport.taken_until < now())
    hinted = or_(ModelExport.hinted_at.is_(None), ModelExport.hinted_at < overdue)
    ready = select(Model.id).where(_ready(), Model.id == ModelExport.model_id)
    found = session.scalars(
        update(ModelExport)
        .where(ModelExport.ended_at.is_(None), free, hinted, ready.exists())
        .values(hinted_at=now())
        .returning(ModelExport.model_id)
        .execution_options(synchronize_session=False)
    )
    return sorted(set(found))


def _ready() -> Any:
    """Return whether a model is there, and its graph written or given up.

    A graph from rows to answers is made of the one that predicts.
    """
    told = or_(Model.exported_at.is_not(None), Model.export.is_not(None))
    needless = ModelExport.format != "onnx_pipeline"
    return Model.deleted_at.is_(None) & or_(needless, told)


def _give_up(session: Session) -> None:
    """End the requests that no worker survives, so that nobody waits for them."""
    error = f"{TRIES} workers died of it"
    session.execute(
        update(ModelExport)
        .where(
            ModelExport.ended_at.is_(None),
            ModelExport.attempt >= TRIES,
            or_(ModelExport.taken_until.is_(None), ModelExport.taken_until < now()),
        )
        .values(ended_at=now(), error=error)
        .execution_options(synchronize_session=False)
    )


def _held(taken: Taken) -> Any:
    return (
        update(ModelExport)
        .where(
            ModelExport.id == taken.export_id,
            ModelExport.attempt == taken.attempt,
            ModelExport.ended_at.is_(None),
        )
        .execution_options(synchronize_session=False)
    )


def _end(
    session: Session, taken: Taken, *, error: str | None, report: dict[str, Any] | None
) -> bool:
    values = {"ended_at": now(), "error": error, "report": report}
    ended = _held(taken).values(**values).returning(ModelExport.id)
    return session.scalar(ended) is not None
