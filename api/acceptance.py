"""From a spec as written to a job that will run, or to everything wrong with it.

The same for a submit, a dry run and a clone. Only the database is asked: what passes
here builds, without torch and without a row being read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.planned import Planned, made_by
from api.settings import Settings
from catalog import chains, datasets, ids, models
from catalog.errors import NotFound
from catalog.jobs import Prerequisite, Request, Submission
from catalog.tables import Dataset, Model
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer, problems_of
from trainer.spec.job import JobSpec
from trainer.spec.pretraining.chain import Stage, expand
from trainer.spec.resolve import Limits, Resolution, resolve
from trainer.spec.resolve.planned import source_to_be
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
    sources: Mapping[str, Model | Planned]
    """Each reused model under the word that the spec uses for it."""
    stages: tuple["Accepted", ...] = ()
    """The jobs that come before it, made for it."""

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
        """Return what the ledger needs to accept the job and its stages."""
        made = {stage.resolution.spec.name: ids.new_id("job") for stage in self.stages}
        stages = [
            replace(stage.alone(made), id=made[stage.resolution.spec.name])
            for stage in self.stages
        ]
        alone = self.alone(made)
        reused = [p for p in alone.prerequisites if p.job_id not in made.values()]
        before = [Prerequisite(job_id, is_stage=True) for job_id in made.values()]
        return replace(
            alone,
            id=ids.new_id("job"),
            parent=parent,
            idempotency=request,
            stages=stages,
            prerequisites=[*before, *reused],
        )

    def alone(self, made: Mapping[str, str]) -> Submission:
        """Return the job by itself; `made` are the ids of stages, by their names."""
        spec = self.resolution.spec
        used = [self.sources[entry.from_] for entry in spec.reuse]
        columns = chains.renamed(
            self.resolved_spec,
            self.resolution.match_table(),
            self.resolution.layer_table(),
            made,
        )
        waits = [made.get(one.id, one.id) for one in used if isinstance(one, Planned)]
        return Submission(
            name=spec.name,
            spec=self.written,
            dataset_id=self.dataset.id,
            sources=[
                {"job": made.get(one.id, one.id)}
                if isinstance(one, Planned)
                else {"id": one.id, "folder": one.folder}
                for one in used
            ],
            priority=spec.priority,
            tags=spec.tags,
            prerequisites=[Prerequisite(one) for one in dict.fromkeys(waits)],
            **columns,
        )


def examine(session: Session, written: Any, settings: Settings) -> Accepted:
    """Return the spec with everything filled in.

    Raises:
        InvalidSpec: with every problem that can be told at once.
    """
    spec = _validated(written)
    if spec.pretraining:
        return _chain(session, spec, written, settings)
    return _one(session, spec, written, settings, {})


def _chain(
    session: Session, spec: JobSpec, written: Mapping[str, Any], settings: Settings
) -> Accepted:
    """Return a job with the stages of its pretraining, each examined by itself."""
    stages, last = expand(spec, _schema(_dataset(session, spec)))
    planned: dict[str, Planned] = {}
    accepted = []
    for stage in stages:
        text = stage.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            found = _one(session, stage.spec, text, settings, planned)
        except InvalidSpec as error:
            raise _in_stage(stage, error) from error
        word = stage.spec.name
        known = _known(session, found.sources)
        source = source_to_be(found.resolution, word, _schema(found.dataset), known)
        planned[word] = Planned(word, source)
        accepted.append(found)
    found = _one(session, last, written, settings, planned)
    return replace(found, stages=tuple(accepted))


def _in_stage(stage: Stage, error: InvalidSpec) -> InvalidSpec:
    """Return what is wrong with a stage, at the entry that asks for it."""
    place = pointer("pretraining", stage.entry)
    return InvalidSpec(
        [
            replace(
                one,
                pointer=place,
                detail=f"in the stage {stage.spec.name} at {one.pointer}: {one.detail}",
            )
            for one in error.problems
        ]
    )


def _one(
    session: Session,
    spec: JobSpec,
    written: Mapping[str, Any],
    settings: Settings,
    planned: Mapping[str, Planned],
) -> Accepted:
    """Return one job; `planned` are the stages before it, by name."""
    dataset = _dataset(session, spec)
    sources = _sources(session, spec, planned)
    limits = Limits(
        layers=settings.layers, epochs=settings.epochs, parameters=settings.parameters
    )
    known = _known(session, sources)
    resolution = resolve(spec, _schema(dataset), known, limits)
    return Accepted(written, resolution, dataset, sources)


def _known(
    session: Session, sources: Mapping[str, Model | Planned]
) -> dict[str, Source]:
    return {
        word: one.source if isinstance(one, Planned) else as_source(session, one)
        for word, one in sources.items()
    }


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


def _sources(
    session: Session, spec: JobSpec, planned: Mapping[str, Planned]
) -> dict[str, Model | Planned]:
    found: dict[str, Model | Planned] = {}
    problems = []
    named = [(e.from_, pointer("reuse", n, "from")) for n, e in enumerate(spec.reuse)]
    if spec.network.from_ is not None:
        named.append((spec.network.from_, pointer("network", "from")))
    for word, place in named:
        try:
            made = planned.get(word) or made_by(session, word, as_source)
            found[word] = made or models.get(session, word)
        except NotFound as error:
            query = select(Model.name).where(Model.deleted_at.is_(None))
            names = session.scalars(query.distinct().limit(NAMES_COMPARED)).all()
            near = nearest(word.partition("@")[0], names)
            detail = f"{error}" + (f"; did you mean {near!r}?" if near else "")
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
        network=model.card.get("network") or {},
        **named_inputs(preprocessing),
    )


def request_of(key: str | None, body: bytes, *words: str) -> Request | None:
    """Return a client's word that two requests are the same one, if it gave any."""
    if key is None:
        return None
    digest = hashlib.sha256("\0".join(words).encode() + b"\0" + body)
    return Request(key, digest.hexdigest())
