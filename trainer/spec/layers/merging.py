"""Layers that take several inputs: with ``inputs`` by name a network is a graph.

A residual connection round dense layers is an ``add`` of the layer's input and output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.axes import features_axis
from trainer.spec.layers.blocks import Step
from trainer.spec.masks import Mask
from trainer.spec.shapes import Impossible, Shape

if TYPE_CHECKING:
    from torch import nn


class Merge(Step):
    """A layer that makes one of several inputs of equal shape."""

    takes: ClassVar[tuple[int, int]] = (2, 100_000)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the common shape."""
        for shape in shapes[1:]:
            if shape != shapes[0]:
                kind = type(self).model_fields["kind"].default
                raise Impossible(
                    f"{kind} needs inputs of equal shape, is given {list(shapes[0])} "
                    f"and {list(shape)}",
                    field="inputs",
                )
        return shapes[0]

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the first mask there is: the steps stay where they are."""
        return next((mask for mask in masks if mask is not None), None)


class Add(Merge):
    """Sum several inputs of equal shape: a skip connection, after He et al. (2016)."""

    kind: Literal["add"] = "add"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Add as Module

        return Module()


class Multiply(Merge):
    """Multiply inputs of equal shape: a gate, after Srivastava et al. (2015).

    Highway networks, arXiv:1505.00387, equation 2.
    """

    kind: Literal["multiply"] = "multiply"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Multiply as Module

        return Module()


class Average(Merge):
    """Return the mean of several inputs of equal shape, number by number."""

    kind: Literal["average"] = "average"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Average as Module

        return Module()


class Maximum(Merge):
    """Keep the largest of several inputs, after Goodfellow et al. (2013), ICML.

    Over parallel layers without activation it is their maxout.
    """

    kind: Literal["maximum"] = "maximum"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Maximum as Module

        return Module()


class Concatenate(Merge):
    """Put several inputs behind each other, along features or channels.

    A skip connection that keeps its input apart, after Huang et al. (2017), CVPR.
    """

    kind: Literal["concatenate"] = "concatenate"
    axis: Literal["features", "steps"] = "features"
    """``features``: of vectors and sequences, channels of images; ``steps``: one
    sequence after the other."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape with the sizes along the axis summed."""
        axis = self._axis(shapes)
        for shape in shapes[1:]:
            if _without(shape, axis) != _without(shapes[0], axis):
                which = "first" if axis == 0 else "last"
                raise Impossible(
                    f"concatenate needs inputs that differ in their {which} size only, "
                    f"is given {list(shapes[0])} and {list(shape)}",
                    field="inputs",
                )
        first = shapes[0]
        return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the first mask there is, or all of them where steps are joined."""
        found = super().mask(masks, shapes)
        if found is None or self.axis == "features":
            return found
        parts = zip(masks, shapes, strict=True)
        return Mask(joined=tuple(mask or shape[0] for mask, shape in parts))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Concatenate as Module

        return Module(self._axis(shapes) + 1)

    def _axis(self, shapes: Sequence[Shape]) -> int:
        """Return the axis of the first input's shape along which inputs are joined."""
        if self.axis == "features":
            return features_axis(shapes[0])
        if len(shapes[0]) != 2:
            raise Impossible(
                "only sequences (steps, features) have steps to join, is given "
                f"{list(shapes[0])}",
                field="axis",
                suggestion="features",
            )
        return 0


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]
