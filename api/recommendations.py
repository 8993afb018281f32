"""POST /v1/datasets/{id}/recommend-sources: which models to take layers from.

A child process does the computing (see `catalog.recommendations`) while a thread waits;
one at a time, and a few requests may wait for their turn.
"""

import os
import threading
import time
from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.answers import json_answer
from api.bodies import Document, request_body, shaped
from api.datasets import Reference
from api.deps import Limits
from api.errors import InvalidInput, Unavailable
from api.problems import Fault, problems
from api.recommendation_views import RecommendationView, shown
from api.settings import Settings
from api.upload_turns import Turns, carried_out
from catalog import datasets, folders, models, recommendations
from catalog.columns import has_member
from catalog.errors import NotFound
from catalog.session import reading
from catalog.tables import Dataset, Model
from trainer.spec.data import DatasetRef
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.job import JobSpec
from trainer.spec.network import NetworkSpec
from trainer.spec.resolve import resolve
from trainer.spec.transfer import (
    Candidate,
    ModelFilter,
    RecommendationAnswer,
    RecommendationOrder,
    RecommendationRequest,
)

router = APIRouter(prefix="/datasets", tags=["data sets"])

CHILDREN = 1
"""Comparisons that are computed at the same time."""
MOST_WAITING = 8
"""Requests that may wait for their turn."""
MOST_THREADS = 4
NAMES_COMPARED = 1_000
OWN = frozenset({"sample", "models", "limit", "score", "seed"})
"""Fields of a request that are no part of a job's data set."""


@router.post(
    "/{dataset}/recommend-sources",
    response_model=RecommendationView,
    responses=problems(400, 404, 413, 415, 422, 503, 507),
    openapi_extra=request_body("RecommendationRequest"),
)
async def recommend_sources(
    request: Request, dataset: Reference, written: Document, limits: Limits
) -> Response:
    """Rank the catalog's models, and their cut points, as sources for a data set.

    Each model's layers are tried, frozen, on a sample of the rows that a job would
    train and choose on; the rows of its test are not looked at.
    """
    asked = shaped(RecommendationRequest, written)
    turns = _turns_of(request)
    if turns.children.statistics().tasks_waiting >= MOST_WAITING:
        detail = f"{MOST_WAITING} comparisons are waiting for their turn"
        raise Unavailable(detail, code="busy", retry_seconds=5)
    started = time.monotonic()
    row, order, beyond = await to_thread.run_sync(_ordered, asked, dataset, limits)
    stage = datasets.staging()
    folder = await to_thread.run_sync(stage.__enter__)
    try:
        work = partial(_compared, order, folder, limits.ingest_memory_bytes)
        answer = await carried_out(request, work, turns)
    finally:
        await to_thread.run_sync(stage.__exit__, None, None, None)
    seconds = time.monotonic() - started
    return json_answer(shown(row, order, answer, beyond, seconds))


def _turns_of(request: Request) -> Turns:
    """Return the turns of comparisons, made in the event loop at the first of them."""
    state = request.app.state
    if not hasattr(state, "comparison_turns"):
        state.comparison_turns = Turns(CHILDREN)
    turns: Turns = state.comparison_turns
    return turns


def _compared(
    order: RecommendationOrder, folder: Path, memory: int, gone: threading.Event
) -> RecommendationAnswer:
    return recommendations.compare(order, folder, memory, gone)


def _ordered(
    asked: RecommendationRequest, dataset: str, limits: Settings
) -> tuple[Dataset, RecommendationOrder, int]:
    """Return the data set, what the child is to do, and how many models are too many.

    Raises:
        NotFound: there is no such data set.
        InvalidSpec: nothing can be predicted as it is asked for.
    """
    with reading() as session:
        row = datasets.get(session, dataset)
        reference = _reference(asked, row)
        _check(reference, Schema.model_validate(row.schema))
        found = chosen(session, asked.models)
        most = limits.recommend_models
        order = RecommendationOrder(
            dataset=str(folders.absolute(row.folder)),
            reference=reference,
            name=row.name,
            candidates=tuple(map(_candidate, found[:most])),
            sample=asked.sample,
            score=asked.score,
            seed=asked.seed,
            limit=asked.limit,
            seconds=limits.recommend_seconds,
            threads=min(os.cpu_count() or 1, MOST_THREADS),
        )
        return row, order, len(found[most:])


def _reference(asked: RecommendationRequest, row: Dataset) -> DatasetRef:
    """Return the data set's part of the jobs in the answer, as a person writes it."""
    wanted = asked.model_dump(by_alias=True, exclude_unset=True, exclude=set(OWN))
    return DatasetRef.model_validate({"id": f"{row.name}@{row.version}"} | wanted)


def _check(reference: DatasetRef, schema: Schema) -> None:
    """See that there is something to predict; pointers are those of the request."""
    if reference.task == "reconstruction":
        detail = "a reconstruction has no target that sources could be compared by"
        raise InvalidInput([Fault(pointer="/task", code="no_target", detail=detail)])
    spec = JobSpec(name="any", dataset=reference, network=NetworkSpec(layers=()))
    try:
        resolve(spec, schema, {})
    except InvalidSpec as error:
        raise InvalidSpec(
            [
                Problem(
                    each.pointer.removeprefix("/dataset"),
                    each.code,
                    each.detail,
                    each.suggestion,
                )
                for each in error.problems
            ]
        ) from error


def chosen(session: Session, wanted: ModelFilter) -> list[Model]:
    """Return the models that are asked for, newest first."""
    query = models.filtered(text=wanted.q)
    for tag in wanted.tags:
        query = query.where(has_member(Model.tags, tag))
    if wanted.names is not None:
        query = query.where(Model.id.in_(_named(session, wanted.names)))
    return list(session.scalars(query.order_by(Model.id.desc())))


def _named(session: Session, names: tuple[str, ...]) -> set[str]:
    """Return the ids of the models that names mean; a bare name means all versions.

    Raises:
        InvalidInput: one of them means none.
    """
    found: set[str] = set()
    faults = []
    for number, name in enumerate(names):
        query = select(Model.id).where(Model.name == name, Model.deleted_at.is_(None))
        versions = session.scalars(query).all()
        try:
            found.update(versions or [models.get(session, name).id])
        except NotFound as error:
            faults.append(_unknown(session, number, name, str(error)))
    if faults:
        raise InvalidInput(faults)
    return found


def _unknown(session: Session, number: int, name: str, detail: str) -> Fault:
    query = select(Model.name).where(Model.deleted_at.is_(None)).distinct()
    known = session.scalars(query.limit(NAMES_COMPARED)).all()
    return Fault(
        pointer=pointer("models", "names", number),
        code="unknown_model",
        detail=detail,
        suggestion=nearest(name.partition("@")[0], known),
    )


def _candidate(model: Model) -> Candidate:
    return Candidate(
        id=model.id,
        word=f"{model.name}@{model.version}",
        folder=str(folders.absolute(model.folder)),
        reason=_known_reason(model),
    )


def _known_reason(model: Model) -> tuple[str, str] | None:
    """Say why a model cannot be compared, where its row tells."""
    schedule = (model.card.get("training") or {}).get("schedule") or {}
    if schedule.get("kind") == "range_test":
        return "untrained", "a range test gives the network its first values back"
    if model.exported_at is not None:
        return None
    failed = (model.export or {}).get("error")
    if failed is not None:
        return "not_exported", f"its graph could not be written: {failed}"
    return "not_exported", "its graph is still being written"
