"""What a reader found in the files of a foreign model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.spec.shapes import Shape

Array = np.ndarray[Any, np.dtype[Any]]


Scaling = tuple[Any, Any]
"""(scale, offset) of x scale + offset: numbers, or arrays that broadcast over x."""


@dataclass(frozen=True)
class Weights:
    """Named arrays without a graph: the person's spec says what they are for."""

    format: str
    tensors: Mapping[str, Array]
    """Name in the file → values, in the file's order where it has one."""
    layouts: tuple[str, ...]
    """How weights may lie, the likeliest first."""
    is_ordered: bool = False
    """Whether the order is that of the network, not that of an alphabet."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where one tensor of a layer comes from: a line of the table that is answered."""

    layer: str
    tensor: str
    shape: tuple[int, ...]
    source: str | None
    """The name in the file; None for what the file leaves to convention."""
    source_shape: tuple[int, ...] | None
    how: str
    """``graph``, ``map``, ``name``, ``order``, ``shape`` or ``default``."""

    def described(self) -> dict[str, Any]:
        """Return the line as JSON."""
        return {
            "layer": self.layer,
            "tensor": self.tensor,
            "shape": list(self.shape),
            "source": self.source,
            "source_shape": None
            if self.source_shape is None
            else list(self.source_shape),
            "how": self.how,
        }


@dataclass
class FoundNetwork:
    """A network in our own words, with its tensors."""

    format: str
    input_shape: Shape
    layers: list[dict[str, Any]]
    tensors: dict[str, Array]
    """``layer.tensor`` → values in our layout."""
    origins: dict[str, tuple[str | None, tuple[int, ...] | None]]
    """``layer.tensor`` → name and shape in the file."""
    ending: str | None = None
    """``softmax`` or ``sigmoid`` where the file's last step was one; it is left out
    here, because outputs are raw and a prediction applies it."""
    scaling: Scaling | None = None
    """Where the file itself scales the raw input."""
    runtime: Callable[[Array], Array] | None = None
    """The source's own way from a batch of inputs to outputs, where one is here."""
    runtime_name: str | None = None
    notes: list[str] = field(default_factory=list)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each tensor as the file has it, by its name there."""
