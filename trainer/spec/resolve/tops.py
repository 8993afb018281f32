"""A source's network under new tops: its layers written out, the upper ones left out.

The book's procedure for reused layers, Géron (2017), chapter 11: drop the upper layers,
replace them or add more, and keep what lies below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.job import JobSpec
from trainer.spec.layers import OUTPUT, Layer
from trainer.spec.network import NetworkSpec
from trainer.spec.reuse import BadPattern, Reuse, Source, select

LAYERS = ("network", "layers")


@dataclass(frozen=True)
class WrittenOut:
    """A spec whose network stands alone, and how much of that came from a source."""

    spec: JobSpec
    below: int = 0
    """How many of its layers are the source's."""

    def placed(self, problem: Problem) -> Problem:
        """Return a problem at the place in the spec as it was written."""
        start = pointer(*LAYERS) + "/"
        if not self.below or not problem.pointer.startswith(start):
            return problem
        number, slash, rest = problem.pointer.removeprefix(start).partition("/")
        at = int(number) - self.below
        if at < 0:
            return replace(problem, pointer=pointer("network", "from"))
        return replace(problem, pointer=f"{start}{at}{slash}{rest}")


def written_out(spec: JobSpec, sources: Mapping[str, Source]) -> WrittenOut:
    """Return the spec with the layers of the model that its network is made from.

    Raises:
        InvalidSpec: there is no such model, or too few layers.
    """
    network = spec.network
    if network.from_ is None:
        if network.drop_top is None:
            return WrittenOut(spec)
        detail = "drop_top is about the layers of a model: name it in network.from"
        raise _wrong("drop_top", "conflict", detail)
    if network.from_ not in sources:
        detail = f"no catalogued model is called {network.from_!r}"
        raise _wrong("from", "unknown_model", detail)
    source = sources[network.from_]
    kept = _kept(_hidden(source), source.shapes, network.drop_top or 0)
    whole = {"layers": (*kept, *network.layers), "from_": None, "drop_top": None}
    update = {
        "network": network.model_copy(update=whole),
        "reuse": tuple(_below_the_top(entry, network, source) for entry in spec.reuse),
    }
    return WrittenOut(spec.model_copy(update=update), len(kept))


def _below_the_top(entry: Reuse, network: NetworkSpec, source: Source) -> Reuse:
    """Return a reuse entry that takes nothing of the source into a new top.

    Under a new top the output takes other inputs than it did, and a layer that replaces
    a dropped one may go by its name. Layers that are listed by name are left alone.
    """
    changed = network.drop_top is not None or network.layers
    other = entry.from_ != network.from_ or isinstance(entry.layers, tuple)
    if not changed or other:
        return entry
    try:
        chosen = select(entry.layers, source.order)
    except BadPattern:  # told with the match table
        return entry
    new = {OUTPUT, *(layer.name for layer in network.layers)}
    below = tuple(name for name in chosen if name not in new)
    return entry.model_copy(update={"layers": below}) if below else entry


def _hidden(source: Source) -> list[Layer]:
    """Return a source's layers below its output."""
    try:
        layers = list(NetworkSpec.model_validate(source.network).layers)
    except ValidationError:
        detail = f"{source.name!r} does not say what its layers are made of"
        raise _wrong("from", "no_network", detail) from None
    return [layer for layer in layers if layer.name != OUTPUT]


def _kept(
    layers: Sequence[Layer], shapes: Mapping[str, Mapping[str, Any]], drop: int
) -> list[Layer]:
    """Return the layers below the topmost `drop` that have weights.

    What only dropped layers took goes too: nothing would take what it gives.
    """
    weighted = [at for at, layer in enumerate(layers) if shapes.get(str(layer.name))]
    if drop >= len(weighted) and drop:
        detail = (
            f"the model has {len(weighted)} layers with weights below its output: "
            f"{drop} cannot be dropped and one be left"
        )
        raise _wrong("drop_top", "too_many", detail)
    kept = list(layers[: weighted[-drop]] if drop else layers)
    if not kept:
        raise _wrong("from", "nothing_left", "the model has no layer below its output")
    needed = {kept[-1].name}
    for layer in reversed(kept):
        if layer.name in needed:
            needed.update(layer.inputs or ())
            needed.add(layer.lender)
    return [layer for layer in kept if layer.name in needed]


def _wrong(field: str, code: str, detail: str) -> InvalidSpec:
    return InvalidSpec([Problem(pointer("network", field), code, detail)])
