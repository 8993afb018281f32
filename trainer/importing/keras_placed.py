"""Where Keras' layers are in a sketch, and their weights and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import unknown_node
from trainer.spec.base import variants
from trainer.spec.layers import Layer
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from trainer.importing.found import Array, Scaling
    from trainer.importing.sketch import Sketch
    from trainer.spec.shapes import Shape

Config = dict[str, Any]
Rule = Callable[["Placed", str, Config, Sequence[str]], str]
KINDS = {str(member.model_fields["kind"].default) for member in variants(Layer)}
IMAGE = 3

FUNCTIONS: dict[str, dict[str, Any] | str] = {
    "linear": "none",
    "relu": "relu",
    "relu6": "relu6",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softplus": "softplus",
    "softsign": "softsign",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "hard_tanh": "hard_tanh",
    "leaky_relu": {"kind": "leaky_relu", "negative_slope": 0.2},
}
"""Activations by the name that Keras gives them."""


@dataclass
class Placed:
    """The sketch, and where each of Keras' layers is in it."""

    sketch: Sketch
    arrays: dict[str, list[tuple[Array, str]]]
    channels_last: bool
    values: dict[str, str] = field(default_factory=dict)
    flattened: dict[str, Shape] = field(default_factory=dict)
    """Of a vector whose numbers lie as ours do: the image it was."""
    scaling: Scaling | None = None
    scaled_by: str | None = None
    """The last layer that scales the input: the others take it from there."""
    notes: list[str] = field(default_factory=list)

    def source(self, inputs: Sequence[str]) -> str:
        """Return the layer here that a layer with one input takes.

        Raises:
            NotImportable: the input is taken both as it is and scaled.
        """
        found = self.values.get(inputs[0], INPUT)
        if found == INPUT and self.scaled_by not in {None, inputs[0]}:
            raise unknown_node("layer", inputs[0], "is taken raw and scaled as well")
        return found

    def scale(self, name: str, scale: Any, offset: Any) -> None:
        """Note that a layer scales the input, after those that did before it."""
        before, shift = self.scaling or (1.0, 0.0)
        self.scaling = (before * scale, shift * scale + offset)
        self.scaled_by = name

    def shape(self, name: str) -> Shape:
        """Return the shape of a layer's outputs, channels first."""
        return self.sketch.shape(name)

    def weights(self, name: str, count: int) -> list[tuple[Array, str]]:
        """Return a layer's arrays as float32.

        Raises:
            NotImportable: there are not as many as its description says.
        """
        found = self.arrays.get(name, [])
        if len(found) != count:
            raise unknown_node(
                "layer", name, f"has {len(found)} arrays in the file, not {count}"
            )
        return [(array.astype(np.float32), source) for array, source in found]

    def followed(self, name: str, ours: str, function: Any) -> str:
        """Add the activation that a layer ends with, if it has one."""
        activation = named_function(name, function)
        if activation == "none":
            return ours
        fields = {"activation": activation}
        added = self.sketch.add("activation", f"{name}_activation", [ours], fields)
        self.carry(ours, added)
        return added

    def carry(self, source: str, ours: str) -> None:
        """Note that a layer leaves the order of a flattened image as it is."""
        if source in self.flattened:
            self.flattened[ours] = self.flattened[source]

    def is_turned(self, source: str) -> bool:
        """Tell whether a vector's numbers lie in another order than in Keras."""
        channels, *sizes = self.flattened.get(source, (1, 1))
        return channels > 1 and int(np.prod(sizes)) > 1


def named_function(name: str, function: Any) -> Any:
    """Return an activation in our words.

    Raises:
        NotImportable: it is none of Keras' own.
    """
    if isinstance(function, dict) and isinstance(function.get("config"), str):
        function = function["config"]
    if function is None:
        return "none"
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise unknown_node(
            "function", name, f"{str(function)[:100]!r} is not known here"
        )
    return FUNCTIONS[function]
