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
from tests.trainer.combined_data import INPUTS, TASKS, Given, dataset
from tests.trainer.combined_networks import NEEDED, PARTS, network, ranks
from tests.trainer.combined_values import values
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve

SEVERAL = {
    "layers": 5,
    "activations": 4,
    "initializers": 4,
    "normalizations": 3,
    "augmentation": 3,
}
"""Families of which one job can use several, and how many it uses."""

PLACES = {
    "optimizers": "optimizer",
    "schedules": "schedule",
    "gradient_clipping": "gradient_clipping",
    "losses": "loss",
}
"""The field of ``training`` that names a technique of each family."""

IN_LAYERS = {
    "activations": "activation",
    "initializers": "initializer",
    "normalizations": "normalization",
}
"""The field of a layer that names a technique of each family."""

WITHOUT_KIND = {"regularization", "early_stopping"}
"""Families of one member, whose fields are drawn."""

SMALLEST = {
    "image": [{"kind": "conv2d", "name": "first", "filters": 2}],
    "sequence": [{"kind": "dense", "name": "first", "units": 4}],
    "table": [{"kind": "dense", "name": "first", "units": 4}],
}

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
        for member in variants(union)
        if "kind" in member.model_fields
    }


@cache
def usable(given: Given) -> tuple[Technique, ...]:
    """Return the techniques that make sense for some data."""
    return tuple(
        technique
        for technique, member in vocabulary().items()
        if accepted(given, technique, member)
    )


def accepted(given: Given, technique: Technique, member: Any) -> bool:
    """Ask the vocabulary whether a technique makes sense for some data."""
    family, kind = technique
    if family == "layers":
        return min(ranks(kind)) <= max(len(given.shape), 2)
    layers: list[dict[str, Any]] = [dict(SMALLEST[given.inputs][0])]
    training: dict[str, Any] = {}
    wanted: Any = {"kind": kind} | _required(technique)
    if family in IN_LAYERS:
        layers[0][IN_LAYERS[family]] = wanted
    else:
        training[PLACES[family]] = [wanted] if family in SEVERAL else wanted
    try:
        resolve(
            JobSpec.model_validate(job_of(given, {"layers": layers}, training)),
            dataset(given).schema,
            {},
        )
    except InvalidSpec:
        return False
    return True


def job_of(
    given: Given, network: dict[str, Any], training: dict[str, Any]
) -> dict[str, Any]:
    """Return a short job on some data."""
    recipe = {"epochs": 1, "batch_size": 16, "seed": 7}
    return {
        "name": "combined",
        "dataset": {"id": "combined", "target": given.target, "task": given.task},
        "network": network,
        "training": recipe | training,
    }


def _required(technique: Technique) -> dict[str, Any]:
    if technique == ("schedules", "constant"):
        return {}
    return NEEDED.get(technique[1], {})


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
    return job_of(case.given, built, training)


def compatible(one: Technique, other: Technique) -> bool:
    """Say whether two techniques can be in one job."""
    if one[0] == other[0]:
        return one[0] in SEVERAL
    return not any({one, other} <= pair for pair in APART)


APART: tuple[frozenset[Technique], ...] = ()
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
        drawn = [_candidate(random, missing) for _ in range(candidates)]
        best = max(drawn, key=lambda case: len(pairs(case.techniques) & missing))
        missing -= pairs(best.techniques)
        chosen.append(best)
    return tuple(chosen)


def _candidate(random: Random, missing: set[tuple[Technique, Technique]]) -> Case:
    """Draw a case that begins with a pair that is missing, if one is left."""
    givens = everything()
    given = random.choice(givens)
    taken: set[Technique] = set()
    if missing:
        pair = random.choice(sorted(missing)[:200])
        able = [g for g in givens if set(pair) <= set(usable(g))]
        given = random.choice(able)
        taken.update(pair)
    families: dict[str, list[Technique]] = {}
    for technique in usable(given):
        families.setdefault(technique[0], []).append(technique)
    for family in random.sample(sorted(families), len(families)):
        here = [t for t in taken if t[0] == family]
        left = [
            t
            for t in families[family]
            if t not in taken and all(compatible(t, other) for other in taken)
        ]
        wanted = SEVERAL.get(family, 1) - len(here)
        taken.update(random.sample(left, min(max(wanted, 0), len(left))))
    return Case(given, frozenset(taken))
