"""From a data set's schema and wishes to a spec that can be submitted as it is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from trainer.spec.advice.alternatives import Alternative, alternatives
from trainer.spec.advice.case import Case
from trainer.spec.advice.draft import Choice, Draft
from trainer.spec.advice.rules import NETWORKS, RULES
from trainer.spec.advice.wishes import AdviceRequest
from trainer.spec.data import DatasetRef
from trainer.spec.data.answers import answer_of
from trainer.spec.data.features import inputs_of
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Limits, Resolution, resolve

EPOCHS = 100
SPARE = 0.8
"""Share of a time budget that is planned with: an estimate is no promise."""
PLACES = {
    "/dataset/target": "/target",
    "/dataset/id": "/dataset",
    "/dataset/windows": "/windows",
}
"""Where a problem of the spec lies in the request that it was made from."""


@dataclass(frozen=True)
class Advice:
    """A spec, why it is as it is, and what else could be tried."""

    spec: dict[str, Any]
    choices: tuple[Choice, ...]
    alternatives: tuple[Alternative, ...]
    warnings: tuple[str, ...]
    resolution: Resolution
    """What the spec comes to."""


def advise(
    request: AdviceRequest, schema: Schema, limits: Limits | None = None
) -> Advice:
    """Return the spec that fits the data set and the wishes, each choice with why.

    Raises:
        InvalidSpec: nothing can be learned from this data set as it is asked for; the
            pointers are those of the request.
    """
    try:
        case = _case(request, schema)
        draft, resolution = _drafted(case, limits)
        if request.time_budget_seconds is not None:
            seconds = resolution.estimate.seconds_per_epoch
            planned = SPARE * request.time_budget_seconds
            epochs = max(1, min(EPOCHS, int(planned / seconds)))
            draft, resolution = _drafted(replace(case, epochs=epochs), limits)
            case = replace(case, epochs=epochs)
            draft.warnings += _late(seconds, request.time_budget_seconds)
    except InvalidSpec as error:
        raise InvalidSpec([_of_request(p) for p in error.problems]) from error
    case = replace(case, layers=_kinds(draft))
    return Advice(
        spec=draft.spec,
        choices=tuple(sorted(draft.choices, key=_in_reading_order)),
        alternatives=tuple(alternatives(case, draft.spec)),
        warnings=tuple(dict.fromkeys([*draft.warnings, *resolution.warnings])),
        resolution=resolution,
    )


def _case(request: AdviceRequest, schema: Schema) -> Case:
    reference = DatasetRef(
        id=request.dataset, target=request.target, windows=request.windows
    )
    answer, problems = answer_of(schema, reference)
    target = answer.target if answer else ()
    inputs, more = inputs_of(schema, reference, target)
    if answer is None or inputs is None or problems or more:
        raise InvalidSpec(problems + more)
    return Case(request, schema, reference, answer, inputs)


def _drafted(case: Case, limits: Limits | None) -> tuple[Draft, Resolution]:
    """Let every rule speak; return the draft and what it comes to."""
    target = case.answer.target
    dataset: dict[str, Any] = {"id": case.request.dataset}
    if target:
        dataset["target"] = target[0] if len(target) == 1 else list(target)
    if case.request.windows is not None:
        dataset["windows"] = case.request.windows.model_dump(
            mode="json", exclude_none=True
        )
    name = case.request.name or _name(case.request.dataset, target)
    draft = Draft({"name": name, "dataset": dataset, "network": {}, "training": {}})
    draft.apply(NETWORKS, case)
    draft.apply(RULES, replace(case, layers=_kinds(draft)))
    return draft, resolve(JobSpec.model_validate(draft.spec), case.schema, {}, limits)


def _kinds(draft: Draft) -> tuple[str, ...]:
    return tuple(layer["kind"] for layer in draft.spec["network"]["layers"])


def _name(dataset: str, target: Iterable[str]) -> str:
    """Make a name of the data set's and the target's."""
    words = "-".join([dataset.partition("@")[0], *target])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")[:100]
    return name or "advised"


def _late(seconds: float, budget: float) -> list[str]:
    """Say where not even one epoch fits into the time."""
    if seconds <= budget:
        return []
    told = (
        f"one epoch takes about {seconds:,.0f} s on one CPU core, more than the "
        f"{budget:,.0f} s that you have: use a GPU, fewer rows (dataset."
        "examples_per_class) or a smaller network"
    )
    return [told]


def _of_request(problem: Problem) -> Problem:
    for place, ours in PLACES.items():
        if problem.pointer.startswith(place):
            return replace(problem, pointer=ours + problem.pointer[len(place) :])
    return replace(problem, pointer="/dataset")


def _in_reading_order(choice: Choice) -> tuple[int, ...]:
    """Order choices as a spec is read: data, layers, recipe, serving."""
    order = ("/dataset", "/network/defaults", "/network", "/training", "/serving")
    return (
        next(n for n, place in enumerate(order) if choice.pointer.startswith(place)),
    )
