"""A Keras model under construction: layers by their classes, and their arrays.

Keras has images as (height, width, channels) where Frostline has (channels, height,
width); vectors and sequences lie alike in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.spec.shapes import Shape

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = dict[str, list[Array]]
"""Part of a layer, empty for itself → its arrays in Keras' order."""

IMAGE = 3
TO_FIRST, TO_LAST = [3, 1, 2], [2, 3, 1]
"""Orders of an image's axes, counted from 1, as Keras' Permute wants them."""


@dataclass(frozen=True)
class Value:
    """What a layer gives: its name in Keras, and its shape here."""

    name: str
    shape: Shape
    image: Shape | None = None
    """Of a vector whose numbers lie in Keras' order: the image that was flattened."""

    @property
    def keras_shape(self) -> Shape:
        """Return the shape that it has in Keras."""
        if len(self.shape) != IMAGE:
            return self.shape
        return (*self.shape[1:], self.shape[0])


@dataclass(frozen=True)
class KerasLayer:
    """One layer of the model."""

    kind: str
    """Its class."""
    name: str
    config: dict[str, Any]
    inputs: tuple[Value, ...]
    arrays: Arrays
    options: dict[str, Any] = field(default_factory=dict)
    """What it is called with besides its inputs."""
    apart: bool = False
    """Whether its inputs are arguments of their own, not one list."""


class Drawing:
    """Layers in the order in which they are computed."""

    def __init__(self, shape: Shape) -> None:
        self.layers: list[KerasLayer] = []
        self.turnable: frozenset[str] = frozenset()
        """Flattening layers after which the order of numbers does not matter."""
        self.input = Value("input", shape)
        batch = [None, *self.input.keras_shape]
        config = {"batch_shape": batch, "dtype": "float32", "name": "input"}
        self.layers.append(KerasLayer("InputLayer", "input", config, (), {}))

    def add(  # noqa: PLR0917 - a layer and what it is made of
        self,
        kind: str,
        name: str,
        inputs: Sequence[Value],
        shape: Shape,
        config: Mapping[str, Any] | None = None,
        arrays: Arrays | list[Array] | None = None,
        **more: Any,
    ) -> Value:
        """Add a layer whose outputs have `shape` here; return what it gives."""
        taken = {layer.name for layer in self.layers}
        unique = name
        while unique in taken:
            unique = f"{unique}_"
        held = {"": arrays} if isinstance(arrays, list) else dict(arrays or {})
        told = {"name": unique, "dtype": "float32"} | dict(config or {})
        made = KerasLayer(kind, unique, told, tuple(inputs), held, **more)
        self.layers.append(made)
        return Value(unique, shape)

    def flat(self, value: Value, name: str, *, turned: bool) -> Value:
        """Return a value as a vector; `turned`: an image's numbers in Keras' order."""
        if len(value.shape) == 1:
            return value
        size = (prod(value.shape),)
        alike = 1 in {value.shape[0], size[0] // value.shape[0]}
        if len(value.shape) != IMAGE or alike:
            return self.add("Flatten", name, [value], size)
        if turned:
            flat = self.add("Flatten", name, [value], size)
            return Value(flat.name, size, value.shape)
        first = self.first(value, f"{name}_channels_first")
        return self.add("Flatten", name, [first], size)

    def first(self, value: Value, name: str) -> Value:
        """Return an image with its numbers in Frostline's order."""
        if len(value.shape) != IMAGE:
            return value
        turned = self.add("Permute", name, [value], value.shape, {"dims": TO_FIRST})
        return Value(turned.name, value.shape)


def in_keras_order(layers: Sequence[KerasLayer]) -> list[KerasLayer]:
    """Return layers as Keras counts them: the furthest from the output first.

    Those that are equally far come in the order in which a walk from the output, along
    inputs, first meets them.
    """
    known = {layer.name: layer for layer in layers}
    depth: dict[str, int] = {layer.name: 0 for layer in layers}
    for layer in reversed(layers):
        for value in layer.inputs:
            depth[value.name] = max(depth[value.name], depth[layer.name] + 1)
    met: dict[str, int] = {}
    waiting = [layers[-1].name]
    while waiting:
        name = waiting.pop()
        if name not in met:
            met[name] = len(met)
            waiting += [value.name for value in reversed(known[name].inputs)]
    return sorted(layers, key=lambda layer: (-depth[layer.name], met[layer.name]))


def snake(kind: str) -> str:
    """Return a class's name as Keras calls its group of arrays."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()
