"""Layers that slide learned filters over an image.

Those that treat each channel alone are in ``separable_convolutions``, those that make
images larger in ``transposed_convolutions``, those over steps in
``sequence_convolutions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Block, Pair, image_of, pair
from trainer.spec.normalizations import NoNormalization
from trainer.spec.shapes import Impossible, Shape, TensorShape, window

if TYPE_CHECKING:
    from torch import nn

Padding = Literal["valid", "same"]
"""``valid``: the filter stays inside; ``same``: the output is as large as the input
over the stride, zeros are added evenly and the odd one at the bottom right."""


def slid(kind: str, sizes: Shape, kernel: Shape, stride: Shape, padding: str) -> Shape:
    """Return (height, width), or (steps,), after a window slid over them."""
    found = tuple(
        window(size, k, s, padding)
        for size, k, s in zip(sizes, kernel, stride, strict=True)
    )
    if min(found) < 1:
        seen, given = ("x".join(map(str, each)) for each in (kernel, sizes))
        what = "an image" if len(sizes) > 1 else "a sequence"
        raise Impossible(
            f"{kind} looks at {seen} positions, is given {what} of {given}",
            field="kernel_size" if "conv" in kind else "pool_size",
            suggestion="a smaller window, or padding same",
        )
    return found


class Conv2d(Block):
    """Convolve an image with learned filters, after LeCun et al. (1998)."""

    kind: Literal["conv2d"] = "conv2d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output channels."""
    kernel_size: Pair = 3
    """Height and width of each filter, in pixels."""
    stride: Pair = 1
    """Pixels from one position to the next."""
    padding: Padding = "valid"
    """What happens at the border."""
    dilation: Pair = 1
    """Pixels between the filter's own taps."""
    groups: Count = 1
    """Groups of channels that see only each other; the input's channels: depthwise."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (filters, height, width)."""
        channels, height, width = image_of(shapes, self.kind)
        if channels % self.groups or self.filters % self.groups:
            raise Impossible(
                f"{self.groups} groups divide neither evenly: {channels} channels in, "
                f"{self.filters} filters",
                field="groups",
            )
        kernel, dilation = pair(self.kernel_size), pair(self.dilation)
        reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        stride = pair(self.stride)
        return (
            self.filters,
            *slid(self.kind, (height, width), reach, stride, self.padding),
        )

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (filters, channels / groups, height, width) and bias."""
        self.output_shape(shapes)
        kernel = pair(self.kernel_size)
        sums = self.filters * self.sums_per_output
        return self.weight_and_bias((sums, shapes[0][0] // self.groups, *kernel))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.convolution import Conv2d as Module

        return Module(
            shapes[0],
            self.filters * self.sums_per_output,
            kernel=pair(self.kernel_size),
            stride=pair(self.stride),
            same=self.padding == "same",
            dilation=pair(self.dilation),
            groups=self.groups,
            bias=self.bias is not False,
            tail=self.tail(self.output_shape(shapes)),
        )


class Residual(Block):
    """Two convolutions and a shortcut round them, after He et al. (2016), CVPR.

    The shortcut is the input itself, or a 1x1 convolution where the shape changes;
    the activation follows the sum. Padding is ``same``.
    """

    kind: Literal["residual"] = "residual"
    filters: Count
    """Number of output channels."""
    kernel_size: Count = Field(default=3, le=1001)
    """Height and width of the filters, in pixels; odd."""
    stride: Count = 1
    """Pixels from one position to the next, in the first convolution."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (filters, height, width)."""
        _, height, width = image_of(shapes, self.kind)
        if self.kernel_size % 2 == 0:
            raise Impossible(
                f"a residual block needs an odd kernel_size, not {self.kernel_size}",
                field="kernel_size",
                suggestion=str(self.kernel_size + 1),
            )
        return (
            self.filters,
            window(height, 1, self.stride, "same"),
            window(width, 1, self.stride, "same"),
        )

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the tensors of both convolutions and of the shortcut, if any."""
        shape = self.output_shape(shapes)
        kernel = (self.kernel_size, self.kernel_size)
        weights = {
            "conv1": (self.filters, shapes[0][0], *kernel),
            "conv2": (self.filters, self.filters, *kernel),
        }
        if tuple(shapes[0]) != shape:
            weights["shortcut"] = (self.filters, shapes[0][0], 1, 1)
        tail = self.tail_tensors(shape)
        normed = {n: t for n, t in tail.items() if n.startswith("normalization.")}
        active = {n: t for n, t in tail.items() if n not in normed}
        return active | {
            f"{part}.{name}": tensor
            for part, weight in weights.items()
            for name, tensor in (
                self.weight_and_bias(weight)
                | normed
                | (active if part == "conv1" else {})
            ).items()
        }

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return what the first convolution, the rest and the sum keep."""
        shape = self.output_shape(shapes)
        normed = not isinstance(self.normalization, NoNormalization | None)
        active = self.activation is not None and self.activation.kind != "none"
        projects = tuple(shapes[0]) != shape
        rest = normed * (1 + projects) + active + 1
        return super().activations(shapes) + rest * prod(shape)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.residual import Residual as Module

        return Module(
            shapes[0],
            self.filters,
            kernel=self.kernel_size,
            stride=self.stride,
            bias=self.bias is not False,
            tails=tuple(self.tail(self.output_shape(shapes)) for _ in range(3)),
        )
