"""From a spec as written to a job that will run, or to everything wrong with it.

The same for a submit, a dry run and a clone. Only the database is asked: what passes
here builds, without torch and without a row being read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.settings import Settings
from catalog import datasets, models
from catalog.errors import NotFound
from catalog.jobs import Request, Submission
from catalog.tables import Dataset, Model
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer, problems_of
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Limits, Resolution, resolve
from trainer.spec.reuse import Source, named_inputs

NAMES_COMPARED = 1_000
"""How many names a suggestion is chosen from."""

SCHEMAS_KEPT = 64

_schemas: dict[str, Schema] = {}


@dataclass(frozen=True)
class Accepted:
    """A spec that will run, with everything that was looked up for it."""

    written: Mapping[str, Any]
    """Exactly as it came."""
    resolution: Resolution
    dataset: Dataset
    sources: Mapping[str, Model]
    """Each reused model under the word that the spec uses for it."""

    @property
    def resolved_spec(self) -> dict[str, Any]:
        """Return the filled spec; names became ids, which never move."""
        resolved = self.resolution.resolved()
        resolved["dataset"]["id"] = self.dataset.id
        for entry in resolved.get("reuse", ()):
            entry["from"] = self.sources[entry["from"]].id
        return resolved

    def submission(
        self, *, parent: str | None = None, request: Request | None = None
    ) -> Submission:
        """Return what the ledger needs to accept the job."""
        spec = self.resolution.spec
        used = [self.sources[entry.from_] for entry in spec.reuse]
        return Submission(
            name=spec.name,
            spec=self.written,
            resolved_spec=self.resolved_spec,
            dataset_id=self.dataset.id,
            sources=[{"id": model.id, "folder": model.folder} for model in used],
            reuse=self.resolution.match_table(),
            layers=self.resolution.layer_table(),
            priority=spec.priority,
            tags=spec.tags,
            parent=parent,
            idempotency=request,
        )


def examine(session: Session, written: Any, settings: Settings) -> Accepted:
    """Return the spec with everything filled in.

    Raises:
        InvalidSpec: with every problem that can be told at once.
    """
    spec = _validated(written)
    dataset = _dataset(session, spec)
    sources = _sources(session, spec)
    limits = Limits(
        layers=settings.layers, epochs=settings.epochs, parameters=settings.parameters
    )
    resolution = resolve(
        spec,
        _schema(dataset),
        {word: as_source(session, model) for word, model in sources.items()},
        limits,
    )
    return Accepted(written, resolution, dataset, sources)


def _validated(written: Any) -> JobSpec:
    if not isinstance(written, dict):
        detail = "a spec is an object; the least has name, dataset and network"
        raise InvalidSpec([Problem("", "not_an_object", detail)])
    try:
        return JobSpec.model_validate(written)
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, written, JobSpec)) from error


def _dataset(session: Session, spec: JobSpec) -> Dataset:
    try:
        return datasets.get(session, spec.dataset.id)
    except NotFound as error:
        query = select(Dataset.name).where(Dataset.deleted_at.is_(None))
        names = session.scalars(query.distinct().limit(NAMES_COMPARED)).all()
        near = nearest(spec.dataset.id.partition("@")[0], names)
        detail = f"{error}" + (f"; did you mean {near!r}?" if near else "")
        place = pointer("dataset", "id")
        raise InvalidSpec([Problem(place, "unknown_dataset", detail, near)]) from error


def _sources(session: Session, spec: JobSpec) -> dict[str, Model]:
    found: dict[str, Model] = {}
    problems = []
    for number, entry in enumerate(spec.reuse):
        try:
            found[entry.from_] = models.get(session, entry.from_)
        except NotFound as error:
            query = select(Model.name).where(Model.deleted_at.is_(None))
            names = session.scalars(query.distinct().limit(NAMES_COMPARED)).all()
            near = nearest(entry.from_.partition("@")[0], names)
            detail = f"{error}" + (f"; did you mean {near!r}?" if near else "")
            place = pointer("reuse", number, "from")
            problems.append(Problem(place, "unknown_model", detail, near))
    if problems:
        raise InvalidSpec(problems)
    return found


def _schema(dataset: Dataset) -> Schema:
    """Read a schema once: a data set never changes, and wide ones take a while."""
    known = _schemas.get(dataset.id)
    if known is None:
        known = Schema.model_validate(dataset.schema)
        if len(_schemas) >= SCHEMAS_KEPT:
            _schemas.clear()
        _schemas[dataset.id] = known
    return known


def as_source(session: Session, model: Model) -> Source:
    """Return what must be known of a model to take layers from it."""
    rows = models.layers(session, model.id)
    preprocessing = model.card.get("preprocessing", {})
    return Source(
        id=model.id,
        name=model.name,
        version=model.version,
        order=tuple(row.name for row in rows),
        shapes={
            row.name: {
                tensor["name"].removeprefix(f"{row.name}."): tuple(tensor["shape"])
                for tensor in row.detail.get("tensors", ())
            }
            for row in rows
        },
        classes=tuple(model.card.get("classes") or ()),
        input_shape=tuple(preprocessing.get("shape", ())),
        columns=tuple(
            (column["name"], column["kind"])
            for column in preprocessing.get("columns", ())
        ),
        **named_inputs(preprocessing),
    )


def request_of(key: str | None, body: bytes, *words: str) -> Request | None:
    """Return a client's word that two requests are the same one, if it gave any."""
    if key is None:
        return None
    digest = hashlib.sha256("\0".join(words).encode() + b"\0" + body)
    return Request(key, digest.hexdigest())
