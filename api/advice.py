"""POST /v1/advice: from a data set and wishes to a spec, and why it is as it is."""

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.acceptance import NAMES_COMPARED
from api.bodies import Document, request_body, shaped
from api.deps import Limits, Reading
from api.problems import problems
from catalog import datasets, models
from catalog.errors import NotFound
from catalog.tables import Dataset, Model
from trainer.spec.advice import sources
from trainer.spec.advice.advise import Advice, advise
from trainer.spec.advice.alternatives import Alternative
from trainer.spec.advice.wishes import AdviceRequest
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.resolve import Limits as SpecLimits
from trainer.spec.resolve import Resolution

router = APIRouter(prefix="/advice", tags=["service"])

MODELS_LOOKED_AT = 200
MODELS_NAMED = 3


class ChoiceView(BaseModel):
    """One value of the spec, and why it is there."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str
    """JSON Pointer to the value in `spec`."""
    value: Any
    """The value."""
    reason: str
    """Why, in a sentence."""
    source: str
    """Who says so: a paper, a book, or this service."""
    rule: str
    """The rule that chose it, for programs."""


class AlternativeView(BaseModel):
    """What else could be tried."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rule: str
    """The rule that speaks, for programs."""
    reason: str
    """When it is worth trying."""
    source: str
    """Who says so."""
    patch: dict[str, Any] | None
    """JSON Merge Patch on `spec`, as `clone` takes it; null: it is another job."""
    model: str | None
    """The catalogued model that it speaks of, if it does."""


class AdviceView(BaseModel):
    """A spec that can be submitted as it is, and what led to it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["advice"] = "advice"
    spec: dict[str, Any]
    """What POST /v1/jobs takes as it is."""
    choices: list[ChoiceView]
    """Every choice in it, in the order of the spec."""
    alternatives: list[AlternativeView]
    """What else could be tried."""
    warnings: list[str]
    """What was settled between wishes, or is worth a word."""
    estimate: dict[str, Any]
    """What an epoch and the longest run will take: seconds on one CPU core, bytes."""


@router.post(
    "",
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=request_body("AdviceRequest"),
)
def give_advice(written: Document, session: Reading, limits: Limits) -> AdviceView:
    """Make a spec for a data set and wishes, with a reason for each choice."""
    request = shaped(AdviceRequest, written)
    schema = Schema.model_validate(_dataset(session, request.dataset).schema)
    allowed = SpecLimits(
        layers=limits.layers, epochs=limits.epochs, parameters=limits.parameters
    )
    advice = advise(request, schema, allowed)
    hints = list(_reusable(session, advice.resolution))
    return AdviceView(
        spec=advice.spec,
        choices=[ChoiceView(**choice.as_dict()) for choice in advice.choices],
        alternatives=[
            AlternativeView(**one.as_dict()) for one in (*advice.alternatives, *hints)
        ],
        warnings=list(advice.warnings),
        estimate=_estimate(advice),
    )


def _dataset(session: Session, reference: str) -> Dataset:
    try:
        return datasets.get(session, reference)
    except NotFound as error:
        query = select(Dataset.name).where(Dataset.deleted_at.is_(None))
        names = session.scalars(query.distinct().limit(NAMES_COMPARED)).all()
        near = nearest(reference.partition("@")[0], names)
        detail = f"{error}" + (f"; did you mean {near!r}?" if near else "")
        place = pointer("dataset")
        raise InvalidSpec([Problem(place, "unknown_dataset", detail, near)]) from error


def _estimate(advice: Advice) -> dict[str, Any]:
    resolution = advice.resolution
    found = resolution.estimate.as_dict()
    epochs = resolution.epochs
    return found | {
        "epochs": epochs,
        "seconds": round(found["seconds_per_epoch"] * epochs, 3),
        "parameters": resolution.parameters,
    }


def _reusable(session: Session, resolution: Resolution) -> Iterator[Alternative]:
    """Name the best of the newest models whose lowest layers take the same input."""
    query = models.filtered().order_by(Model.id.desc()).limit(MODELS_LOOKED_AT)
    able = [m for m in session.scalars(query) if _takes_the_same(m, resolution)]
    able.sort(key=lambda model: model.accuracy or 0.0, reverse=True)
    for model in able[:MODELS_NAMED]:
        yield Alternative(
            "reuse",
            f"{model.name}@{model.version} was trained on inputs of the same form: "
            "its lower layers could be reused, frozen, which needs fewer rows",
            sources.TRANSFER,
            model=model.id,
        )


def _takes_the_same(model: Model, resolution: Resolution) -> bool:
    """Say whether a model learned from the same columns, or pictures of the same shape.

    A range test gives the network its first values back: there is nothing to reuse.
    """
    schedule = (model.card.get("training") or {}).get("schedule") or {}
    if schedule.get("kind") == "range_test":
        return False
    preprocessing = model.card.get("preprocessing") or {}
    if tuple(preprocessing.get("shape", ())) != tuple(resolution.inputs.shape):
        return False
    columns = [(c["name"], c["kind"]) for c in preprocessing.get("columns", ())]
    ours = [(f.name, f.kind) for f in resolution.inputs.features]
    if resolution.inputs.table:
        return columns == ours
    return [kind for _, kind in columns] == [kind for _, kind in ours]
