"""Jobs that put the vocabulary's techniques together, so that all pairs occur.

A `Case` says which techniques one job must use; `cases` chooses them so that few jobs
hold nearly every pair (a greedy covering array, after Cohen et al. (1997), "The AETG
system"). `specs` turns a case into a job whose remaining values hypothesis draws within
what the JSON schema of each technique allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import strategies as st

from api.techniques import FAMILIES
from tests.trainer.combined_data import (
    COLUMNS,
    INPUTS,
    LENGTH,
    TASKS,
    Given,
    dataset,
)
from tests.trainer.combined_networks import NEEDED, PARTS, above_columns, network
from tests.trainer.combined_values import values
from trainer.spec.base import variants
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve

SEVERAL = {
    "layers": 5,
    "activations": 4,
    "initializers": 4,
    "normalizations": 3,
    "activity_regularizers": 2,
    "augmentation": 3,
    "encodings": 4,
}
"""Families of which one job can use several, and how many it uses."""

PLACES = {
    "optimizers": "optimizer",
    "schedules": "schedule",
    "gradient_clipping": "gradient_clipping",
    "losses": "loss",
    "pruning": "pruning",
    "averaging": "averaging",
    "augmentation": "augmentation",
    "mixing": "mixing",
    "class_weights": "class_weights",
    "sampling": "sampling",
}
"""The field of ``training`` that names a technique of each family."""

IN_LAYERS = {
    "activations": "activation",
    "initializers": "initializer",
    "normalizations": "normalization",
    "activity_regularizers": "activity_regularization",
}
"""The field of a layer that names a technique of each family."""

OF_THE_DATA = {
    "losses",
    "augmentation",
    "mixing",
    "class_weights",
    "sampling",
    "encodings",
}
"""Families whose members are for some data and not for other."""

WITHOUT_KIND = {
    "regularization": ("training", "regularization"),
    "early_stopping": ("training", "early_stopping"),
    "doctor": ("training", "doctor"),
    "serving": ("serving",),
}
"""Families of one member, whose fields are drawn, and where they stand in a job."""

ELSEWHERE = {
    "layers",
    "encodings",
    "windows",
    "auxiliary_tasks",
    "phases",
    "pretraining",
}
"""Families with a place of their own: the network, the data set's columns."""

ALONE = {"auxiliary_tasks", "pretraining"}
"""Families that change what an example is, or make several jobs of one; their tests are
in files of their own."""

SMALLEST: dict[str, list[dict[str, Any]]] = {
    "image": [{"kind": "conv2d", "name": "first", "filters": 2}],
    "text": [
        {"kind": "embedding", "name": "first", "units": 4},
        {"kind": "dense", "name": "second", "units": 4},
    ],
}
DENSE = [{"kind": "dense", "name": "second", "units": 4}]

ROUNDS = 5
"""Problems are told in layers: mending some shows others."""
FIRST_PAIRS = 200
"""Of the pairs that no case has yet, so many are begun with."""

Technique = tuple[str, str]
"""A family and a kind."""


@dataclass(frozen=True)
class Case:
    """What one job must use."""

    given: Given
    techniques: frozenset[Technique]

    def of(self, family: str) -> tuple[str, ...]:
        """Return the kinds of one family, sorted."""
        return tuple(sorted(kind for name, kind in self.techniques if name == family))


@cache
def vocabulary() -> dict[Technique, Any]:
    """Return the class of every technique that a spec can name."""
    return {
        (family, member.model_fields["kind"].default): member
        for family, union in FAMILIES.items()
        if family not in ALONE
        for member in variants(union)
        if "kind" in member.model_fields
    }


@cache
def usable(given: Given) -> frozenset[Technique]:
    """Return the techniques that make sense for some data."""
    return frozenset(
        technique
        for technique, member in vocabulary().items()
        if accepted(given, technique, member)
    )


def accepted(given: Given, technique: Technique, member: Any) -> bool:
    """Ask the vocabulary whether a technique makes sense for some data."""
    family, kind = technique
    if family == "layers":
        return _layer_fits(kind, given)
    if family not in OF_THE_DATA:
        return True
    wanted: Any = {"kind": kind} | _required(technique)
    layers = [dict(layer) for layer in SMALLEST.get(given.inputs, DENSE)]
    training: dict[str, Any] = {}
    encodings: dict[str, Any] = {}
    if family in IN_LAYERS:
        layers[-1][IN_LAYERS[family]] = wanted
    elif family == "encodings":
        columns = _takers(member) if given.inputs == "mixed" else []
        if not columns:
            return False
        encodings = {columns[0]: wanted}
    else:
        training[PLACES[family]] = [wanted] if family in SEVERAL else wanted
    job = job_of(given, {"layers": layers}, training, encodings)
    try:
        resolve(JobSpec.model_validate(job), dataset(given).schema, {})
    except InvalidSpec:
        return False
    return True


def _layer_fits(kind: str, given: Given) -> bool:
    """Say whether a layer can stand somewhere above some data."""
    if kind in {"column_embedding", "columns"}:
        return given.inputs == "mixed"
    return kind != "embedding" or given.inputs == "text"


def _takers(member: Any) -> list[str]:
    """Return the mixed columns that an encoding is for."""
    return [name for kind in COLUMNS if kind in member.takes for name in COLUMNS[kind]]


def job_of(
    given: Given,
    network: dict[str, Any],
    training: dict[str, Any],
    encodings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a short job on some data."""
    recipe = {"epochs": 2, "batch_size": 16, "seed": 7}
    rows: dict[str, Any] = {"id": "combined", "task": given.task}
    if given.target is not None:
        rows |= {"target": given.target, "features": given.features}
    encodings = dict(encodings or {})
    if given.inputs == "text":
        encodings = {"text0": {"kind": "text", "length": LENGTH}}
    if given.inputs == "windows":
        rows["windows"] = {"length": LENGTH}
    if encodings:
        rows["encodings"] = encodings
    return {
        "name": "combined",
        "dataset": rows,
        "network": network,
        "training": recipe | training,
    }


def _required(technique: Technique) -> dict[str, Any]:
    family, kind = technique
    if family == "layers":
        return NEEDED.get(kind, {})
    return BESIDE_LAYERS.get(technique, {})


BESIDE_LAYERS: dict[Technique, dict[str, Any]] = {
    ("initializers", "constant"): {"value": 0.5},
    ("schedules", "piecewise_constant"): {"boundaries": [3], "factors": [0.5]},
    ("class_weights", "given"): {"weights_of": {"1": 2.0}},
}
"""Fields that techniques beside the layers cannot do without."""


@st.composite
def specs(draw: Any, case: Case) -> dict[str, Any]:
    """Return a job that uses every technique of a case."""

    def drawn(family: str) -> list[dict[str, Any]]:
        known = vocabulary()
        return [
            draw(values(known[family, kind], _required((family, kind))))
            for kind in case.of(family)
        ]

    parts = {field: drawn(family) for family, field in IN_LAYERS.items()}
    assert parts.keys() == set(PARTS)
    training: dict[str, Any] = {}
    for family, field in PLACES.items():
        found = drawn(family)
        if found:
            training[field] = found if family in SEVERAL else found[0]
    built = network(draw, case.given.shape, case.of("layers"), parts)
    if case.given.inputs == "mixed":
        built["layers"] = above_columns(
            built["layers"],
            case.given.shape[0],
            taken="columns" in case.of("layers"),
        )
    job = job_of(case.given, built, training, _encodings(draw, case))
    for family, (*above, last) in WITHOUT_KIND.items():
        place = job
        for field in above:
            place = place[field]
        if family in FAMILIES:
            place[last] = draw(values(FAMILIES[family]))  # type: ignore[arg-type]
    return _fitting(job, dataset(case.given).schema)


def _fitting(job: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the job without the drawn fields that do not go with its techniques."""
    for _ in range(ROUNDS):
        try:
            resolve(JobSpec.model_validate(job), schema, {})
        except InvalidSpec as error:
            for problem in error.problems:
                *above, field = problem.pointer.strip("/").split("/")
                within: Any = job
                for step in above:
                    within = _within(within, step)
                if isinstance(within, dict):
                    within.pop(field, None)
        else:
            break
    return job


def _within(place: Any, step: str) -> Any:
    """Return what a step of a JSON Pointer leads to; None where it leads nowhere."""
    if isinstance(place, list) and step.isdigit() and int(step) < len(place):
        return place[int(step)]
    return place.get(step) if isinstance(place, dict) else None


def _encodings(draw: Any, case: Case) -> dict[str, Any]:
    """Return an encoding for each column that one was drawn for."""
    found: dict[str, Any] = {}
    for kind in case.of("encodings"):
        member = vocabulary()["encodings", kind]
        free = [column for column in _takers(member) if column not in found]
        if free:
            found[free[0]] = draw(values(member))
    return found


def compatible(one: Technique, other: Technique) -> bool:
    """Say whether two techniques can be in one job."""
    if one[0] == other[0]:
        return one[0] in SEVERAL
    return frozenset({one, other}) not in APART


APART: frozenset[frozenset[Technique]] = frozenset(
    frozenset({("schedules", "range_test"), ("pruning", kind)})
    for kind in ("magnitude", "gradual")
)
"""Pairs that a spec refuses on purpose."""


def pairs(techniques: frozenset[Technique]) -> set[tuple[Technique, Technique]]:
    """Return the pairs that occur in a job with these techniques."""
    return set(combinations(sorted(techniques), 2))


@cache
def possible_pairs() -> frozenset[tuple[Technique, Technique]]:
    """Return every pair that some job can hold."""
    found: set[tuple[Technique, Technique]] = set()
    for given in everything():
        for pair in combinations(sorted(usable(given)), 2):
            if compatible(*pair):
                found.add(pair)
    return frozenset(found)


def everything() -> tuple[Given, ...]:
    """Return every kind of data with every task that it can have."""
    return tuple(
        Given(inputs, task)
        for inputs in INPUTS
        for task in TASKS
        if Given(inputs, task).sensible
    )


@cache
def cases(count: int, seed: int = 0, candidates: int = 12) -> tuple[Case, ...]:
    """Return cases of which each is the best of some candidates.

    The best is the one with the most pairs that no earlier case has.
    """
    random = Random(seed)
    missing = set(possible_pairs())
    chosen = []
    for _ in range(count):
        first = sorted(missing)[:FIRST_PAIRS]
        drawn = [_candidate(random, first) for _ in range(candidates)]
        best = max(drawn, key=lambda case: len(pairs(case.techniques) & missing))
        missing -= pairs(best.techniques)
        chosen.append(best)
    return tuple(chosen)


def _candidate(random: Random, missing: list[tuple[Technique, Technique]]) -> Case:
    """Draw a case that begins with a pair that is missing, if one is left."""
    givens = everything()
    given = random.choice(givens)
    taken: set[Technique] = set()
    if missing:
        pair = random.choice(missing)
        given = random.choice([g for g in givens if usable(g).issuperset(pair)])
        taken.update(pair)
    families: dict[str, list[Technique]] = {}
    for technique in sorted(usable(given)):
        families.setdefault(technique[0], []).append(technique)
    for family in random.sample(sorted(families), len(families)):
        here = sum(name == family for name, _ in taken)
        left = [
            technique
            for technique in families[family]
            if technique not in taken and not _refused(technique, taken)
        ]
        wanted = SEVERAL.get(family, 1) - here
        taken.update(random.sample(left, min(max(wanted, 0), len(left))))
    return Case(given, frozenset(taken))


def _refused(technique: Technique, taken: set[Technique]) -> bool:
    """Say whether a spec refuses a technique beside one that is taken."""
    return any(
        technique in pair and taken.intersection(pair - {technique}) for pair in APART
    )
