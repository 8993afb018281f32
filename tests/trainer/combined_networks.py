"""Networks that use given layers, activations, initialisers and normalisations.

Layers for images come first, then those for sequences, then those for vectors; where
one needs another rank than there is, a reshape or a flatten is put between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from math import prod
from typing import Any

from pydantic import ValidationError

from tests.trainer.combined_data import COLUMNS
from tests.trainer.combined_values import values
from tests.trainer.test_spec_families import REQUIRED
from trainer.spec.base import Spec, variants
from trainer.spec.layers import Layer
from trainer.spec.layers.blocks import Block, Defaults
from trainer.spec.network import INPUT, MERGES
from trainer.spec.shapes import Impossible, Shape

Draw = Callable[[Any], Any]
TRIES = 20
LARGEST = 1024
"""Most numbers that one layer may give."""
RANKS: dict[int, Shape] = {3: (2, 8, 8), 2: (6, 8), 1: (12,)}
"""A shape for every kind of input: image, sequence, vector."""
NEEDED: dict[str, dict[str, Any]] = REQUIRED | {
    "dense": {"units": 4},
    "embedding": {"units": 8, "vocabulary_size": 40},
    "reshape": {"shape": [-1]},
    "multi_head_attention": {"heads": 2},
    "transformer_block": {"heads": 2},
}
"""Fields that a kind cannot do without inside a network."""
GIVEN_WHOLE = {"activation", "embedding", "tied_dense", "shared"}
"""Layers whose needed fields are not drawn."""
FRONT = "front"
"""The layer that makes mixed columns a vector of the size that was asked for."""
TIED = {"kind": "dense", "units": 4}
"""What stands before a layer that uses another one's weights, and owns them."""
FIRST = {"embedding"}
"""Layers that take what no other layer gives."""
PARTS = ("activation", "initializer", "normalization", "activity_regularization")


@cache
def layers() -> dict[str, type[Spec]]:
    """Return the class of every layer."""
    return {member.model_fields["kind"].default: member for member in variants(Layer)}


@cache
def ranks(kind: str) -> tuple[int, ...]:
    """Return the ranks of input that a layer takes, the largest first."""
    several = 2 if kind in MERGES else 1
    found = []
    for rank, shape in RANKS.items():
        fields = {"kind": kind} | NEEDED.get(kind, {})
        if kind == "permute":
            fields["axes"] = list(range(1, rank + 1))
        if _shape(layers()[kind], fields, [shape] * several):
            found.append(rank)
    return tuple(found)


def _fits(layer: Any, shapes: list[Shape]) -> Shape | None:
    """Return what comes out of a layer, or None if it cannot take these shapes."""
    try:
        whole, shapes = _lent(layer.filled(Defaults()), shapes)
        shape: Shape = whole.output_shape(shapes)
        whole.tensors(shapes)
    except Impossible:
        return None
    return shape if 0 < prod(shape) <= LARGEST else None


def _lent(whole: Any, shapes: list[Shape]) -> tuple[Any, list[Shape]]:
    """Return a layer, and what it takes, once the owner of its weights is there."""
    if whole.lender is None:
        return whole, shapes
    owner: Any = layers()["dense"].model_validate(TIED)
    if whole.kind == "shared":
        return whole.borrowing(owner, shapes), shapes
    return whole.borrowing(owner, shapes), [owner.output_shape(shapes)]


def _shape(
    member: type[Spec], fields: Mapping[str, Any], shapes: list[Shape]
) -> Shape | None:
    """Return what comes out of a layer with these fields, or None."""
    try:
        layer: Any = member.model_validate(dict(fields))
    except ValidationError:
        return None
    return _fits(layer, shapes)


def _carries(fields: Mapping[str, Any], shape: Shape) -> bool:
    """Say whether a layer has a tail, and one that these shapes fit."""
    member = layers()[fields["kind"]]
    if not issubclass(member, Block):
        return False
    try:
        filled: Any = member.model_validate(dict(fields)).filled(Defaults())
        layer, shapes = _lent(filled, [shape])
        layer.tensors(shapes)
    except (Impossible, ValidationError):
        return False
    return bool(layer.sums_per_output == 1 or layer.widens)


class Sketch:
    """A list of layers that grows, and the shape that has come out so far."""

    def __init__(self, draw: Draw, shape: Shape) -> None:
        self.draw, self.shape = draw, shape
        self.layers: list[dict[str, Any]] = []
        self.given: list[Shape] = []
        """What each of the layers takes."""

    def add(self, kind: str, **given: Any) -> bool:
        """Append a layer with drawn fields; return whether some were found that fit."""
        member = layers()[kind]
        wanted = NEEDED.get(kind, {}) if kind in GIVEN_WHOLE else {}
        for attempt in range(TRIES):
            strategy = values(member, wanted | given)
            fields = self.draw(strategy)
            if attempt == TRIES - 1:
                fields = {"kind": kind} | self._needed(kind) | given
            shapes = [self.shape] * (2 if kind in MERGES else 1)
            shape = _shape(member, fields, shapes)
            if shape is not None:
                self._append(kind, fields)
                self.shape = shape
                return True
        return False

    def _needed(self, kind: str) -> dict[str, Any]:
        """Return fields that fit whatever the shape is."""
        if kind == "permute":
            return {"axes": list(range(len(self.shape), 0, -1))}
        return NEEDED.get(kind, {})

    def _append(self, kind: str, fields: dict[str, Any]) -> None:
        name = f"layer{len(self.layers) + 1}"
        if kind in MERGES:
            before = self.layers[-1]["name"] if self.layers else "input"
            twin = {"kind": "activation", "name": f"{name}_twin", "activation": "tanh"}
            self.layers.append(twin | {"inputs": [before]})
            self.given.append(self.shape)
            fields = fields | {"inputs": [before, twin["name"]]}
        if kind == "shared":
            before = self.layers[-1]["name"] if self.layers else INPUT
            owner, again = f"{name}_owner", f"{name}_again"
            self.layers += [
                {**TIED, "name": owner, "inputs": [before]},
                fields | {"of": owner, "name": again, "inputs": [before]},
            ]
            self.given += [self.shape, self.shape]
            fields = {"kind": "add", "inputs": [owner, again]}
        if kind == "tied_dense":
            self.layers.append({**TIED, "name": f"{name}_owner"})
            self.given.append(self.shape)
            fields = fields | {"tied_to": f"{name}_owner"}
        self.layers.append({**fields, "name": name})
        self.given.append(self.shape)

    def give(self, part: str, member: Mapping[str, Any]) -> None:
        """Let a layer with a tail use `member`; add one if none can."""
        for layer, shape in zip(self.layers, self.given, strict=True):
            lends = str(layer.get("name")).endswith("_owner")  # its sums are counted on
            if lends and part == "activation":
                continue
            if part not in layer and _carries(layer | {part: member}, shape):
                layer[part] = member
                return
        size = 8 if 8 % member.get("groups", 1) == 0 else 2 * member["groups"]
        fields = {"units": size, part: member}
        if part == "activity_regularization":
            fields["activation"] = "sigmoid"  # which every penalty is for
        if not _carries({"kind": "dense", **fields}, self.shape):
            self.renew(2)
            del fields["units"]
            fields |= {"filters": size, "kernel_size": 1}
            self._append("conv1d", {"kind": "conv1d", **fields})
            self.shape = (self.shape[0], size)
        else:
            self._append("dense", {"kind": "dense", **fields})
            self.shape = (size,)

    def reach(self, rank: int) -> None:
        """Bring what has come out so far to a rank."""
        if len(self.shape) == rank:
            return
        if rank == 1:
            self.add("flatten")
        elif rank == 2 and len(self.shape) == 3 and prod(self.shape) % 8 == 0:
            self._reshape((prod(self.shape) // 8, 8))
        else:
            self.renew(rank)

    def renew(self, rank: int) -> None:
        """Bring what has come out so far to the size that every layer can take."""
        self.add("dense", units=prod(RANKS[rank]))
        self._reshape(RANKS[rank])

    def _reshape(self, shape: Shape) -> None:
        self._append("reshape", {"kind": "reshape", "shape": list(shape)})
        self.shape = shape


def network(
    draw: Draw,
    shape: Shape,
    kinds: Iterable[str],
    parts: Mapping[str, Iterable[Any]],
) -> dict[str, Any]:
    """Return a network of some kinds of layers that uses every one of `parts`.

    `parts` holds the object forms of activations, initialisers and normalisations.
    """
    sketch = Sketch(draw, shape)
    for kind in sorted(kinds, key=_place):
        if kind == "column_embedding":
            continue  # the columns themselves ask for it
        if kind == "columns":
            continue  # below all others, see `above_columns`
        if kind == "distance_threshold":
            assert sketch.add("euclidean_distance")
            assert sketch.add(kind)
            continue
        able = ranks(kind)
        if len(sketch.shape) not in able:
            sketch.reach(max(able))
        if not sketch.add(kind):
            sketch.renew(max(able))
            assert sketch.add(kind), f"{kind} does not fit {sketch.shape}"
    for part, members in parts.items():
        for member in members:
            sketch.give(part, member)
    return {"layers": sketch.layers}


def above_columns(
    layers: list[dict[str, Any]], units: int, *, taken: bool
) -> list[dict[str, Any]]:
    """Return layers for vectors of so many numbers above a table of mixed columns.

    `taken`: by a layer that takes every column, and one that looks the names up.
    """
    below: list[dict[str, Any]] = []
    if taken:
        names = [name for column in COLUMNS.values() for name in column]
        below = [
            {"kind": "columns", "columns": names, "inputs": [INPUT]},
            {"kind": "column_embedding"},
        ]
    front = {"kind": "dense", "name": FRONT, "units": units}
    return [*below, front, *map(_above_front, layers)]


def _above_front(layer: dict[str, Any]) -> dict[str, Any]:
    """Return a layer that takes the front one where it took the input."""
    if "inputs" not in layer:
        return layer
    return layer | {"inputs": [FRONT if i == INPUT else i for i in layer["inputs"]]}


def _place(kind: str) -> tuple[int, int, str]:
    """Return where a kind of layer comes: images first, what lowers the rank last."""
    able = ranks(kind)
    if kind in FIRST or not able:
        return (-len(RANKS) - 1, 0, kind)
    rank = max(able) if len(able) < len(RANKS) else min(able)
    member = layers()[kind]
    layer = member.model_validate({"kind": kind} | NEEDED.get(kind, {}))
    several = 2 if kind in MERGES else 1
    out = _fits(layer, [RANKS[rank]] * several) or ()
    return (-rank, rank - len(out), kind)
