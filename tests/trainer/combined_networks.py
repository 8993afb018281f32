"""Networks that use given layers, activations, initialisers and normalisations.

Layers for images come first, then those for sequences, then those for vectors; where
one needs another rank than there is, a reshape or a flatten is put between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import cycle
from math import prod
from typing import Any

from tests.trainer.combined_values import values
from tests.trainer.test_spec_families import REQUIRED
from trainer.spec.base import Spec, variants
from trainer.spec.blocks import Block, Defaults
from trainer.spec.layers import Layer
from trainer.spec.network import MERGES
from trainer.spec.shapes import Impossible, Shape

Draw = Callable[[Any], Any]
TRIES = 20
LARGEST = 1024
"""Most numbers that one layer may give."""
RANKS: dict[int, Shape] = {3: (2, 8, 8), 2: (6, 4), 1: (12,)}
"""A shape for every kind of input: image, sequence, vector."""
NEEDED: dict[str, dict[str, Any]] = {"dense": {"units": 4}} | REQUIRED
"""Fields that a kind cannot do without inside a network."""
GIVEN_WHOLE = {"activation"}
"""Layers whose needed fields are no plain values."""
PARTS = ("activation", "initializer", "normalization")


@cache
def layers() -> dict[str, type[Spec]]:
    """Return the class of every layer."""
    return {member.model_fields["kind"].default: member for member in variants(Layer)}


@cache
def ranks(kind: str) -> tuple[int, ...]:
    """Return the ranks of input that a layer takes, the largest first."""
    member = layers()[kind]
    layer: Any = member.model_validate({"kind": kind} | NEEDED.get(kind, {}))
    several = 2 if kind in MERGES else 1
    return tuple(r for r, shape in RANKS.items() if _fits(layer, [shape] * several))


def _fits(layer: Any, shapes: list[Shape]) -> Shape | None:
    """Return what comes out of a layer, or None if it cannot take these shapes."""
    try:
        shape: Shape = layer.filled(Defaults()).output_shape(shapes)
    except Impossible:
        return None
    return shape if 0 < prod(shape) <= LARGEST else None


class Sketch:
    """A list of layers that grows, and the shape that has come out so far."""

    def __init__(self, draw: Draw, shape: Shape) -> None:
        self.draw, self.shape = draw, shape
        self.layers: list[dict[str, Any]] = []

    def add(self, kind: str, **given: Any) -> bool:
        """Append a layer with drawn fields; return whether some were found that fit."""
        member = layers()[kind]
        wanted = NEEDED.get(kind, {}) if kind in GIVEN_WHOLE else {}
        for attempt in range(TRIES):
            strategy = values(member, wanted | given)
            fields = self.draw(strategy)
            if attempt == TRIES - 1:
                fields = {"kind": kind} | NEEDED.get(kind, {}) | given
            shapes = [self.shape] * (2 if kind in MERGES else 1)
            shape = _fits(member.model_validate(fields), shapes)
            if shape is not None:
                self._append(kind, fields)
                self.shape = shape
                return True
        return False

    def _append(self, kind: str, fields: dict[str, Any]) -> None:
        name = f"layer{len(self.layers) + 1}"
        if kind in MERGES:
            before = self.layers[-1]["name"] if self.layers else "input"
            twin = {"kind": "activation", "name": f"{name}_twin", "activation": "tanh"}
            self.layers.append(twin | {"inputs": [before]})
            fields = fields | {"inputs": [before, twin["name"]]}
        self.layers.append({**fields, "name": name})

    def reach(self, rank: int) -> None:
        """Bring what has come out so far to a rank."""
        if len(self.shape) == rank:
            return
        if rank == 1:
            self.add("flatten")
            return
        size = prod(self.shape)
        steps = next(n for n in (6, 4, 8, 3, 2, 5, 7, size) if size % n == 0)
        shapes = {2: (steps, size // steps), 3: (1, steps, size // steps)}
        fields = {"kind": "reshape", "shape": list(shapes[rank])}
        self._append("reshape", fields)
        self.shape = shapes[rank]


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
        able = ranks(kind)
        if len(sketch.shape) not in able:
            sketch.reach(max(able))
        if not sketch.add(kind):
            sketch.reach(min(able))
            assert sketch.add(kind), f"{kind} does not fit {sketch.shape}"
    wanted = {part: list(members) for part, members in parts.items()}
    longest = max(len(members) for members in wanted.values())
    while sum(map(_has_tail, sketch.layers)) < longest:
        sketch.add("dense", units=5)
    blocks = [layer for layer in sketch.layers if _has_tail(layer)]
    for part, members in wanted.items():
        for layer, member in zip(blocks, cycle(members), strict=False):
            layer[part] = member
    return {"layers": sketch.layers}


def _has_tail(layer: Mapping[str, Any]) -> bool:
    return issubclass(layers()[layer["kind"]], Block)


def _place(kind: str) -> tuple[int, int, str]:
    """Return where a kind of layer comes: images first, what lowers the rank last."""
    able = ranks(kind)
    rank = max(able) if len(able) < len(RANKS) else min(able)
    member = layers()[kind]
    layer = member.model_validate({"kind": kind} | NEEDED.get(kind, {}))
    several = 2 if kind in MERGES else 1
    out = _fits(layer, [RANKS[rank]] * several) or ()
    return (-rank, rank - len(out), kind)
