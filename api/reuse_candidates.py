"""What a search for the depth of reuse tries: networks that differ in what they take.

Every candidate is the job's spec with another ``reuse`` and, for dropped and added
tops, other layers. The list follows from the request and the source's layers alone, so
whoever makes it again makes the same one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from api.acceptance import Accepted, as_source, examine
from api.settings import Settings
from catalog import models
from catalog.errors import NotFound
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.layers import OUTPUT
from trainer.spec.network import INPUT
from trainer.spec.searches import ReuseDepthSearch

MOST_DEPTHS = 13
"""Depths that are tried; of more layers, so many evenly spread. With three families of
candidates a rung has at most 40."""

SCRATCH, DEEPEST = 0, 1
"""Places of the candidates without reuse and with all layers frozen."""

NEVER = 1_000_000_000
"""Patience that does not run out."""

FIXED = ("reuse", "pretraining", "phases")
"""Fields of the job's spec that would say what the search is to find out."""


@dataclass(frozen=True)
class Candidate:
    """One thing to try."""

    words: str
    """What it is, for a reader."""
    spec: Mapping[str, Any]
    """The job's spec, but for its epochs."""
    reused: int
    """How many layers with weights come from the source."""
    frozen: int = 0
    """How many of them keep their values."""
    dropped: int = 0
    """How many of the source's upper layers the network is without."""
    added: int = 0
    """How many layers were put on top."""

    def at(self, epochs: int) -> dict[str, Any]:
        """Return its spec for so many epochs; the cache is filled for every depth."""
        training = {**(self.spec.get("training") or {}), "epochs": epochs}
        if self.frozen:
            training["frozen_cache_depths"] = "every"
        return {**self.spec, "training": training}

    def parameters(self, epochs: int) -> dict[str, Any]:
        """Return what its trial's row says of it."""
        return {
            "candidate": self.words,
            "reused": self.reused,
            "frozen": self.frozen,
            "dropped": self.dropped,
            "added": self.added,
            "epochs": epochs,
        }


@dataclass(frozen=True)
class Plan:
    """All candidates of a search: without reuse, all frozen, and the others."""

    source: str
    """Id of the source."""
    depth: int
    """How many layers with weights it has below its output."""
    candidates: tuple[Candidate, ...]
    scratch: Accepted
    """The spec without reuse, as it would be accepted."""

    @property
    def deepest(self) -> Candidate:
        """Return the candidate with all layers reused and frozen."""
        return self.candidates[DEEPEST]


def planned(
    session: Session,
    asked: ReuseDepthSearch,
    limits: Settings,
    source: str | None = None,
    dataset: str | None = None,
) -> Plan:
    """Return what a search tries.

    `source` and `dataset` are ids that the names in the request stood for when the
    search began; names may move meanwhile.

    Raises:
        InvalidSpec: with pointers into the search.
    """
    for name in FIXED:
        if asked.spec.get(name):
            detail = f"a search for the depth of reuse decides {name}; leave it out"
            raise InvalidSpec([Problem(pointer("spec", name), "fixed", detail)])
    scratch = _examined(session, asked, asked.spec, limits)
    spec = dict(asked.spec)
    if _follows(asked):
        keeping = {"monitor": asked.monitor, "patience": NEVER}
        spec["training"] = {**_training(asked), "early_stopping": keeping}
    if dataset is not None:
        spec["dataset"] = {**spec["dataset"], "id": dataset}
    try:
        model = models.get(session, source or asked.from_)
    except NotFound as error:
        raise InvalidSpec([Problem("/from", "unknown_model", str(error))]) from error
    found = as_source(session, model)
    weighted = [n for n in found.order if found.shapes.get(n) and n != OUTPUT]
    _check_layers(asked, weighted, scratch)
    tops = _Network(spec, found.order, weighted, scratch)
    candidates = (
        Candidate("from scratch", spec, reused=0),
        *_of_every_depth(tops, model.id),
    )
    return Plan(model.id, len(weighted), candidates, scratch)


def checked(
    session: Session, asked: ReuseDepthSearch, limits: Settings
) -> tuple[Plan, Accepted]:
    """Return what a search tries, and its first job as it would be accepted.

    Raises:
        InvalidSpec: nothing, or not everything, of the source fits the network.
    """
    plan = planned(session, asked, limits)
    for epochs in (asked.rungs[0], asked.rungs[-1]):
        _examined(session, asked, plan.deepest.at(epochs), limits)
    first = _examined(session, asked, plan.candidates[0].at(asked.rungs[0]), limits)
    return plan, first


def most_jobs(asked: ReuseDepthSearch, candidates: int) -> int:
    """Return how many jobs a search makes at most.

    >>> asked = ReuseDepthSearch.model_validate(
    ...     {"name": "s", "kind": "reuse_depth", "from": "m", "spec": {}}
    ... )
    >>> most_jobs(asked, 10)  # 10, then 5 and the one without reuse, then 3 and it
    20
    """
    sizes = [candidates]
    for _ in asked.rungs[1:]:
        sizes.append(min(sizes[-1], -(-sizes[-1] // 2) + 1))
    return sum(sizes)


def depths_of(depth: int) -> list[int]:
    """Return the depths that are tried, from 1 to all.

    >>> depths_of(3)
    [1, 2, 3]
    >>> depths_of(25)
    [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25]
    """
    if depth <= MOST_DEPTHS:
        return list(range(1, depth + 1))
    last = MOST_DEPTHS - 1
    return [1 + round(n * (depth - 1) / last) for n in range(MOST_DEPTHS)]


def _of_every_depth(network: "_Network", source: str) -> Iterator[Candidate]:
    depth = len(network.weighted)
    depths = depths_of(depth)

    def taking(words: str, reused: int, frozen: int) -> Candidate:
        entry: dict[str, Any] = {"from": source, "layers": network.lowest(reused)}
        if frozen:
            entry["freeze"] = network.lowest(frozen)
        spec = {**network.spec, "reuse": [entry]}
        return Candidate(words, spec, reused, frozen)

    whole = taking(f"all {depth} reused and frozen", depth, depth)
    yield whole  # first: its pass fills the cache at every depth
    for k in depths[:-1]:
        yield taking(f"lowest {k} of {depth} reused and frozen, the rest new", k, k)
    for k in [0, *depths[:-1]]:
        words = f"all {depth} reused, {f'lowest {k}' if k else 'none'} frozen"
        yield taking(words, depth, k)
    if not network.is_chain:
        return
    for k in reversed(depths[:-1]):
        words = f"lowest {k} of {depth} reused and frozen, the upper {depth - k} gone"
        spec = taking(words, k, k).spec
        layers = network.without(network.weighted[k:])
        spec = {**spec, "network": {**spec["network"], "layers": layers}}
        yield Candidate(words, spec, k, k, dropped=depth - k)
    if taller := network.taller():
        words = f"{whole.words}, one dense layer more"
        spec = {**whole.spec, "network": {**whole.spec["network"], "layers": taller}}
        yield replace(whole, words=words, spec=spec, added=1)


class _Network:
    """The layers of the job's spec, beside those of the source."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        order: Sequence[str],
        weighted: Sequence[str],
        scratch: Accepted,
    ) -> None:
        self.spec, self.weighted, self._order = spec, weighted, order
        self._rows = scratch.resolution.layers
        self._names = {row.name for row in self._rows}
        before = [INPUT, *(row.name for row in self._rows)]
        self.is_chain = spec["network"].get("from") is None and all(
            row.inputs == (other,) and row.lender is None
            for row, other in zip(self._rows, before, strict=False)
        )

    def lowest(self, count: int) -> list[str]:
        """Return the names up to a depth, those without weights between them too."""
        last = self._order.index(self.weighted[count - 1])
        return [name for name in self._order[: last + 1] if name in self._names]

    def without(self, gone: Sequence[str]) -> list[dict[str, Any]]:
        """Return the layers of a chain without some, and without those between."""
        first, last = self._order.index(gone[0]), self._order.index(gone[-1])
        between = self._order[first : last + 1]
        return [one for one in self._written() if one["name"] not in between]

    def taller(self) -> list[dict[str, Any]]:
        """Return the layers of a chain and once more the last dense one, or none."""
        layers = self._written()
        dense = [r.name for r in self._rows if r.kind == "dense" and r.name != OUTPUT]
        if not dense:
            return []
        name = "added"
        while name in self._names:
            name += "_more"
        copied = next(one for one in layers if one["name"] == dense[-1])
        place = len(layers) - (layers[-1]["name"] == OUTPUT)
        return [*layers[:place], {**copied, "name": name}, *layers[place:]]

    def _written(self) -> list[dict[str, Any]]:
        """Return the layers as they were written, all with names, none with inputs."""
        written = []
        for row, layer in zip(self._rows, self.spec["network"]["layers"], strict=False):
            fields = {name: v for name, v in layer.items() if name != "inputs"}
            written.append({**fields, "name": row.name})
        return written


def _check_layers(
    asked: ReuseDepthSearch, weighted: Sequence[str], scratch: Accepted
) -> None:
    if not weighted:
        detail = f"{asked.from_} has no layers with weights below its output"
        raise InvalidSpec([Problem("/from", "no_layers", detail)])
    names = {row.name for row in scratch.resolution.layers}
    missing = [name for name in weighted if name not in names]
    if missing:
        detail = (
            f"the network needs all layers of {asked.from_} by their names; there is "
            f"no {', '.join(missing[:20])}"
        )
        place = "/spec/network/layers"
        raise InvalidSpec([Problem(place, "missing_layers", detail, missing[0])])


def _training(asked: ReuseDepthSearch) -> Mapping[str, Any]:
    return asked.spec.get("training") or {}


def _follows(asked: ReuseDepthSearch) -> bool:
    """Say whether the jobs keep the weights with the best monitored value.

    Stopping early by another metric would end the budgets of some candidates.
    """
    return asked.monitor is not None and "early_stopping" not in _training(asked)


def _examined(
    session: Session, asked: ReuseDepthSearch, spec: Mapping[str, Any], limits: Settings
) -> Accepted:
    try:
        return examine(session, dict(spec), limits)
    except InvalidSpec as error:
        raise InvalidSpec([_placed(one, asked) for one in error.problems]) from error


def _placed(found: Problem, asked: ReuseDepthSearch) -> Problem:
    """Point into the search; what is wrong with the reuse is the source's fault."""
    if found.pointer.startswith("/reuse"):
        return replace(found, pointer="/from")
    if found.pointer == "/training/epochs":
        return replace(found, pointer="/rungs")
    if found.pointer.startswith("/training/early_stopping") and _follows(asked):
        return replace(found, pointer="/monitor")
    return replace(found, pointer=f"/spec{found.pointer}")
