"""Layers that move numbers about: they learn nothing and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Pair, Step, image_of, pair, sequence_of
from trainer.spec.masks import Border, Mask, Repeat
from trainer.spec.shapes import Impossible, Shape

if TYPE_CHECKING:
    from torch import nn

Amount = Annotated[int, Field(ge=0, le=1_000_000)]
Ends = Amount | tuple[Amount, Amount]
"""One number for both ends, or (before, after)."""
Edges = Amount | tuple[Ends, Ends]
"""One number for all edges, or (height, width), each one number or (before, after)."""


def ends(amount: int | tuple[int, int]) -> tuple[int, int]:
    """Return (before, after)."""
    return amount if isinstance(amount, tuple) else (amount, amount)


class Flatten(Step):
    """Lay the numbers of an image or an array out in one row."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (features,)."""
        return (prod(shapes[0]),)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Flatten()


class Reshape(Step):
    """Lay the same numbers out in another shape, in the same order."""

    kind: Literal["reshape"] = "reshape"
    shape: Annotated[
        tuple[Annotated[int, Field(ge=-1, le=1_000_000_000)], ...],
        Field(min_length=1, max_length=6),
    ]
    """Sizes of one example: (features,), (steps, features) or (channels, height,
    width). One of them may be -1: whatever is left."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape with -1 replaced."""
        given, known = prod(shapes[0]), prod(s for s in self.shape if s != -1)
        open_places = self.shape.count(-1)
        if 0 in self.shape or open_places > 1:
            raise Impossible(
                "sizes are at least 1, and one of them may be -1", field="shape"
            )
        if given % known or (not open_places and known != given):
            raise Impossible(
                f"the input {list(shapes[0])} has {given} numbers, the shape "
                f"{list(self.shape)} wants {'a multiple of ' * open_places}{known}",
                field="shape",
                suggestion="[-1]",
            )
        return tuple(given // known if s == -1 else s for s in self.shape)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import Reshape as Module

        return Module(self.output_shape(shapes))


class Permute(Step):
    """Put the axes of an example into another order."""

    kind: Literal["permute"] = "permute"
    axes: Annotated[tuple[Count, ...], Field(min_length=1, max_length=6)]
    """Which axis of the input comes first, second, …, counted from 1: (2, 1) turns
    (steps, features) into (features, steps)."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the sizes in their new order."""
        wanted = list(range(1, len(shapes[0]) + 1))
        if sorted(self.axes) != wanted:
            raise Impossible(
                f"the axes of {list(shapes[0])} are {wanted}, each exactly once, not "
                f"{list(self.axes)}",
                field="axes",
                suggestion=str(wanted[::-1]),
            )
        return tuple(shapes[0][axis - 1] for axis in self.axes)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import Permute as Module

        return Module(self.axes)


class RepeatVector(Step):
    """Give a vector at every step of a sequence, for a decoder that starts from it."""

    kind: Literal["repeat_vector"] = "repeat_vector"
    steps: Count
    """Length of the sequence."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features)."""
        if len(shapes[0]) != 1:
            raise Impossible(
                f"repeat_vector takes vectors (features,), is given {list(shapes[0])}",
                field="kind",
                suggestion="upsampling1d",
            )
        return (self.steps, *shapes[0])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import RepeatVector as Module

        return Module(self.steps)


class _Border1d(Step):
    """Steps before and after a sequence, positive to add, negative to take away."""

    def border(self) -> tuple[int, int]:
        """Return how many steps are added (before, after)."""
        raise NotImplementedError

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features)."""
        kind = str(type(self).model_fields["kind"].default)
        steps, features = sequence_of(shapes, kind)
        left = steps + sum(self.border())
        if left < 1:
            raise Impossible(f"nothing is left of {steps} steps", field="cropping")
        return (left, features)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the mask with its border; what is added to padding is padding."""
        return None if masks[0] is None else masks[0].then(Border(*self.border()))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ConstantPad2d((0, 0, *self.border()), 0.0)


class ZeroPadding1d(_Border1d):
    """Put steps of zeros before and after a sequence."""

    kind: Literal["zero_padding1d"] = "zero_padding1d"
    padding: Ends = 1
    """Steps added at both ends, or (before, after)."""

    def border(self) -> tuple[int, int]:
        """Return how many steps are added (before, after)."""
        return ends(self.padding)


class Cropping1d(_Border1d):
    """Leave out the first and last steps of a sequence."""

    kind: Literal["cropping1d"] = "cropping1d"
    cropping: Ends = 1
    """Steps left out at both ends, or (before, after)."""

    def border(self) -> tuple[int, int]:
        """Return how many steps are added (before, after): fewer than none."""
        before, after = ends(self.cropping)
        return -before, -after


class _Border2d(Step):
    """Pixels round an image, positive to add, negative to take away."""

    def border(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how many are added ((top, bottom), (left, right))."""
        raise NotImplementedError

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels, height, width)."""
        kind = str(type(self).model_fields["kind"].default)
        channels, height, width = image_of(shapes, kind)
        rows, columns = self.border()
        left = (height + sum(rows), width + sum(columns))
        if min(left) < 1:
            raise Impossible(
                f"nothing is left of an image of {height}x{width}", field="cropping"
            )
        return (channels, *left)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        rows, columns = self.border()
        return nn.ConstantPad2d((*columns, *rows), 0.0)


class ZeroPadding2d(_Border2d):
    """Put zeros round an image."""

    kind: Literal["zero_padding2d"] = "zero_padding2d"
    padding: Edges = 1
    """Pixels added at all edges, or (height, width), each one number or (before,
    after)."""

    def border(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how many are added ((top, bottom), (left, right))."""
        return _edges(self.padding)


class Cropping2d(_Border2d):
    """Leave out the edges of an image."""

    kind: Literal["cropping2d"] = "cropping2d"
    cropping: Edges = 1
    """Pixels left out at all edges, or (height, width), each one number or (before,
    after)."""

    def border(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how many are added ((top, bottom), (left, right)): less than none."""
        (top, bottom), (left, right) = _edges(self.cropping)
        return (-top, -bottom), (-left, -right)


class Upsampling1d(Step):
    """Give every step of a sequence several times."""

    kind: Literal["upsampling1d"] = "upsampling1d"
    size: Count = 2
    """How often each step is given."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features)."""
        steps, features = sequence_of(shapes, self.kind)
        return (steps * self.size, features)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the mask with every step given as often."""
        return None if masks[0] is None else masks[0].then(Repeat(self.size))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import Upsampling

        return Upsampling((self.size,), self.output_shape(shapes))


class Upsampling2d(Step):
    """Make an image larger by giving every pixel several times."""

    kind: Literal["upsampling2d"] = "upsampling2d"
    size: Pair = 2
    """How often each pixel is given downwards and across."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels, height, width)."""
        channels, height, width = image_of(shapes, self.kind)
        down, across = pair(self.size)
        return (channels, height * down, width * across)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import Upsampling

        return Upsampling(pair(self.size), self.output_shape(shapes))


def _edges(
    amount: int | tuple[int | tuple[int, int], int | tuple[int, int]],
) -> tuple[tuple[int, int], tuple[int, int]]:
    both = amount if isinstance(amount, tuple) else (amount, amount)
    return ends(both[0]), ends(both[1])
