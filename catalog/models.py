"""Models: how they enter the catalog, how they are found, named and removed.

A model is registered in the transaction that ends its job, so there is never a
succeeded job without its model, nor a model of a job that did not succeed. Two
aliases move by themselves: ``latest`` to each new version, ``best`` to the one with
the best value of the monitored metric.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from catalog import ids
from catalog.clock import now
from catalog.columns import has_member
from catalog.errors import InUse, NameTaken, NotFound
from catalog.tables import (
    TERMINAL,
    Alias,
    Dataset,
    Job,
    JobSource,
    Model,
    ModelLayer,
    ModelSource,
)

LATEST = "latest"
BEST = "best"
MOVING = frozenset({LATEST, BEST})
"""Aliases that move by themselves and that nobody sets."""

REFERENCE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@([A-Za-z0-9._-]{1,100}))?"
)
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LARGEST_VERSION = 2**31 - 1

ROW_KEYS = frozenset({"format", "id", "name", "layers", "metrics", "files", "lineage"})
"""Parts of model.json that are columns or rows of their own."""


@dataclass(frozen=True)
class Registration:
    """What a finished attempt hands over about its model."""

    folder: str
    """The model's folder, relative to the data folder."""
    description: Mapping[str, Any]
    """model.json as it was read back from the folder."""
    metrics: Mapping[str, float | None]
    """Name → final value of the kept weights."""
    files: Mapping[str, Mapping[str, Any]]
    """Name → ``{sha256, bytes}``."""
    monitored: Mapping[str, Any] | None = None
    """``{name, value, mode}`` of the metric that chose the kept weights."""
    sources: Sequence[str] = field(default=())
    """Ids of the models that layers were taken from."""


def register(
    session: Session,
    registration: Registration,
    *,
    name: str,
    dataset_id: str | None,
    job_id: str | None = None,
    attempt: int | None = None,
    tags: Sequence[str] = (),
) -> Model:
    """Enter a model under the next version of its name, and move its aliases."""
    description = registration.description
    layers: list[dict[str, Any]] = list(description.get("layers", []))
    _lock_name(session, name)
    model = Model(
        id=ids.new_id("mdl"),
        name=name,
        version=_next_version(session, name),
        job_id=job_id,
        attempt=attempt,
        dataset_id=dataset_id,
        task=str(description.get("task", "")),
        folder=registration.folder,
        metrics=dict(registration.metrics),
        accuracy=_accuracy(registration.metrics),
        monitored=dict(registration.monitored) if registration.monitored else None,
        parameters=sum(int(layer.get("parameters", 0)) for layer in layers),
        bytes=sum(int(file["bytes"]) for file in registration.files.values()),
        files={name: dict(file) for name, file in registration.files.items()},
        card={k: v for k, v in description.items() if k not in ROW_KEYS},
        tags=list(tags),
    )
    session.add(model)
    session.flush()
    session.add_all(_layer(model.id, n, layer) for n, layer in enumerate(layers))
    sources = dict.fromkeys(registration.sources)
    session.add_all(ModelSource(model_id=model.id, source_id=s) for s in sources)
    schedule = (description.get("training") or {}).get("schedule") or {}
    untrained = schedule.get("kind") == "range_test"  # it gives the network back
    if not untrained or _aliased(session, name, LATEST) is None:
        _point(session, name, LATEST, model.id)
    if _beats(model, _aliased(session, name, BEST)):
        _point(session, name, BEST, model.id)
    session.flush()
    return model


def get(session: Session, reference: str) -> Model:
    """Return the model of that id, ``name``, ``name@alias`` or ``name@version``.

    Raises:
        NotFound: there is none, or it was deleted.
    """
    model = (
        session.scalar(_named(reference)) if REFERENCE.fullmatch(reference) else None
    )
    if model is None or model.deleted_at is not None:
        raise NotFound("model", reference)
    return model


def layers(session: Session, model_id: str) -> list[ModelLayer]:
    """Return the layers of a model in the network's order."""
    query = select(ModelLayer).where(ModelLayer.model_id == model_id)
    return list(session.scalars(query.order_by(ModelLayer.position)))


def aliases(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the aliases that point to each of the models."""
    found: dict[str, list[str]] = {model_id: [] for model_id in model_ids}
    query = select(Alias).where(Alias.model_id.in_(model_ids)).order_by(Alias.alias)
    for row in session.scalars(query):
        found[row.model_id].append(row.alias)
    return found


def change(
    session: Session,
    reference: str,
    *,
    tags: Sequence[str] | None = None,
    description: str | None = None,
    clear_description: bool = False,
) -> Model:
    """Replace the tags or the description of a model; what is None stays."""
    model = get(session, reference)
    if tags is not None:
        model.tags = list(dict.fromkeys(tags))
    if description is not None or clear_description:
        model.description = description
    session.flush()
    return model


def set_alias(session: Session, name: str, alias: str, reference: str) -> Model:
    """Let an alias of a name point to one of the versions of that name.

    Raises:
        NameTaken: the alias moves by itself, or would be read as a version.
        NotFound: no model of that name is meant by `reference`.
    """
    if alias in MOVING or alias.isdecimal():
        raise NameTaken("alias", alias)
    _lock_name(session, name)
    model = get(session, reference)
    if model.name != name:
        raise NotFound(f"version of {name!r}", reference)
    _point(session, name, alias, model.id)
    return model


def remove_alias(session: Session, name: str, alias: str) -> None:
    """Forget an alias.

    Raises:
        NameTaken: the alias moves by itself.
        NotFound: the name has no such alias.
    """
    if alias in MOVING:
        raise NameTaken("alias", alias)
    gone = delete(Alias).where(Alias.name == name, Alias.alias == alias)
    if session.scalar(gone.returning(Alias.alias)) is None:
        raise NotFound("alias", f"{name}@{alias}")


def remove(session: Session, reference: str, *, force: bool = False) -> str:
    """Take a model out of the catalog; return its folder, to delete after the commit.

    Raises:
        InUse: models took layers from it, or jobs are about to, and not `force`.
    """
    model = get(session, reference)
    _lock_name(session, model.name)
    users = [user.id for user in dependants(session, model.id)]
    users += waiting_jobs(session, model.id)
    if users and not force:
        raise InUse("model", f"{model.name}@{model.version}", users)
    model.deleted_at = session.scalar(select(now()))
    session.execute(delete(Alias).where(Alias.model_id == model.id))
    session.flush()
    _point_again(session, model.name)
    return model.folder


def dependants(session: Session, model_id: str) -> list[Model]:
    """Return the models that took layers from this one and are still there."""
    query = (
        select(Model)
        .join(ModelSource, ModelSource.model_id == Model.id)
        .where(ModelSource.source_id == model_id, Model.deleted_at.is_(None))
    )
    return list(session.scalars(query.order_by(Model.id)))


def sources(session: Session, model_id: str) -> list[Model]:
    """Return the models that this one took layers from, deleted ones included."""
    query = (
        select(Model)
        .join(ModelSource, ModelSource.source_id == Model.id)
        .where(ModelSource.model_id == model_id)
    )
    return list(session.scalars(query.order_by(Model.id)))


def waiting_jobs(session: Session, model_id: str) -> list[str]:
    """Return the ids of unfinished jobs that reuse layers of this model."""
    query = (
        select(Job.id)
        .join(JobSource, JobSource.job_id == Job.id)
        .where(JobSource.model_id == model_id, Job.status.not_in(TERMINAL))
    )
    return list(session.scalars(query.order_by(Job.id)))


def exported(
    session: Session,
    model_id: str,
    report: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
) -> None:
    """Note that the graph for predictions is written and checked."""
    model = session.get(Model, model_id, with_for_update=True)
    if model is None or model.exported_at is not None:
        return
    model.files = model.files | {name: dict(file) for name, file in files.items()}
    model.bytes = sum(int(file["bytes"]) for file in model.files.values())
    model.export = dict(report)
    if measured := report.get("serving"):
        asked = model.card.get("serving") or {}
        model.card = model.card | {"serving": asked | measured}
    model.exported_at = session.scalar(select(now()))
    session.flush()


def export_failed(session: Session, model_id: str, error: str) -> None:
    """Note that the graph cannot be written, so that nobody waits for it."""
    session.execute(
        update(Model)
        .where(Model.id == model_id, Model.exported_at.is_(None))
        .values(export={"error": error})
    )


def filtered(
    *,
    name: str | None = None,
    task: str | None = None,
    dataset: str | None = None,
    tag: str | None = None,
    min_accuracy: float | None = None,
    text: str | None = None,
) -> Select[Model]:
    """Return the query for the models that all the given filters keep."""
    query = select(Model).where(Model.deleted_at.is_(None))
    if name is not None:
        query = query.where(Model.name == name)
    if task is not None:
        query = query.where(Model.task == task)
    if dataset is not None:
        query = query.where(Model.dataset_id.in_(_datasets(dataset)))
    if tag is not None:
        query = query.where(has_member(Model.tags, tag))
    if min_accuracy is not None:
        query = query.where(Model.accuracy >= min_accuracy)
    if text:
        query = query.where(
            or_(
                Model.name.icontains(text, autoescape=True),
                Model.description.icontains(text, autoescape=True),
                has_member(Model.tags, text),
            )
        )
    return query


def _datasets(reference: str) -> Select[str]:
    name, _, version = reference.partition("@")
    query = select(Dataset.id)
    if version.isdecimal() and int(version) <= LARGEST_VERSION:
        return query.where(Dataset.name == name, Dataset.version == int(version))
    return query.where(or_(Dataset.id == reference, Dataset.name == reference))


def _named(reference: str) -> Select[Model]:
    """Return the query for what a reference means; an id is tried before a name."""
    name, _, pick = reference.partition("@")
    if not pick and reference.startswith("mdl_"):
        return select(Model).where(Model.id == reference)
    if pick.isdecimal():
        version = min(int(pick), LARGEST_VERSION)
        return select(Model).where(Model.name == name, Model.version == version)
    return (
        select(Model)
        .join(Alias, Alias.model_id == Model.id)
        .where(Alias.name == name, Alias.alias == (pick or LATEST))
    )


def _lock_name(session: Session, name: str) -> None:
    """Let no other transaction give this name a version or an alias meanwhile.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = func.hashtextextended(f"model:{name}", 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


def _next_version(session: Session, name: str) -> int:
    newest = session.scalar(select(func.max(Model.version)).where(Model.name == name))
    return (newest or 0) + 1


def _layer(model_id: str, position: int, layer: dict[str, Any]) -> ModelLayer:
    return ModelLayer(
        model_id=model_id,
        position=position,
        name=layer["name"],
        kind=layer["kind"],
        parameters=int(layer.get("parameters", 0)),
        frozen=bool(layer.get("frozen", False)),
        source=layer.get("source"),
        detail=layer,
    )


def _accuracy(metrics: Mapping[str, float | None]) -> float | None:
    found = metrics.get("test_accuracy")
    return metrics.get("validation_accuracy") if found is None else found


def _point(session: Session, name: str, alias: str, model_id: str) -> None:
    row = session.get(Alias, (name, alias))
    if row is None:
        session.add(Alias(name=name, alias=alias, model_id=model_id))
    else:
        row.model_id = model_id
    session.flush()


def _aliased(session: Session, name: str, alias: str) -> Model | None:
    return session.scalar(_named(f"{name}@{alias}"))


def _beats(model: Model, best: Model | None) -> bool:
    """Tell whether a model takes the alias ``best`` from another."""
    monitored = model.monitored or {}
    value = monitored.get("value")
    if best is None:
        return True
    if value is None:
        return False
    other = (best.monitored or {}).get("value")
    if (best.monitored or {}).get("name") != monitored.get("name"):
        other = best.metrics.get(str(monitored.get("name")))
    if other is None:
        return True
    return bool(value > other if monitored.get("mode") == "max" else value < other)


def _point_again(session: Session, name: str) -> None:
    """Point ``latest`` and ``best`` at what is left of a name."""
    left = list(session.scalars(filtered(name=name).order_by(Model.version)))
    if not left:
        session.execute(delete(Alias).where(Alias.name == name))
        return
    _point(session, name, LATEST, left[-1].id)
    best: Model | None = None
    for model in left:
        best = model if _beats(model, best) else best
    assert best is not None
    _point(session, name, BEST, best.id)
