"""What every augmentation shares: the inputs it fits, the values it may draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Spec
from trainer.spec.shapes import Shape

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    Change = Callable[[Tensor], Tensor]

InputKind = Literal["image", "sequence", "table", "array", "other"]

Probability = Annotated[float, Field(ge=0, le=1)]
"""A probability, 0 to 1."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a size, 0 to 1."""

Factor = Annotated[float, Field(gt=0, le=100)]
"""A factor; 1 changes nothing."""

Fill = Literal["zeros", "edge", "reflect"]
"""What comes in from outside: zeros, the outermost values, or the mirror image."""


@dataclass(frozen=True)
class Layout:
    """What a network is given."""

    kind: InputKind
    shape: Shape
    widths: tuple[int, ...] = ()
    """Of a table: how many features each column became."""
    numeric: tuple[bool, ...] = ()
    """Of a table: whether each column is a number."""
    limits: tuple[float, float] | None = None
    """Smallest and largest value, where there are any."""
    pair: bool = False
    """Whether the network is given two of them at a time, each changed by itself."""


def layout_kind(kind: str, shape: Shape) -> InputKind:
    """Return what an input of the data set's kind is to an augmentation."""
    if kind == "image" or (kind == "array" and len(shape) == 3):
        return "image"
    if kind == "table":
        return "table"
    if kind in {"array", "window", "sequence"}:
        return "sequence" if len(shape) == 2 else "array"
    return "other"


class Augmented(Spec):
    """What every augmentation answers."""

    fits: ClassVar[frozenset[InputKind]] = frozenset({"image"})
    """The inputs that it is for."""
    moves: ClassVar[bool] = False
    """Whether it moves what is to be reconstructed, rather than disturbs it."""

    def excess(self, shape: Shape) -> tuple[str, str] | None:
        """Return the field that is too large for inputs of a shape, and why."""
        return None

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        raise NotImplementedError


class Ranged(Augmented):
    """An augmentation by a factor drawn from a range."""

    minimum: Factor = 0.9
    """Smallest factor."""
    maximum: Factor = 1.1
    """Largest factor."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self
