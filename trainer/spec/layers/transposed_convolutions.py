"""Convolutions run backwards: they make images and sequences larger.

After Dumoulin and Visin (2016), arXiv:1603.07285, chapter 4. Output sizes are those of
Keras: ``same`` gives size x stride, ``valid`` adds what the kernel reaches beyond the
stride. Nothing but zeros is ever convolved where the stride is beyond the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Block, Pair, image_of, pair, sequence_of
from trainer.spec.layers.convolutions import Padding
from trainer.spec.layers.sequence_convolutions import SequenceBlock
from trainer.spec.masks import Mask, Repeat, Spread
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn


def spread(sizes: Shape, kernel: Shape, stride: Shape, padding: str) -> Shape:
    """Return (height, width), or (steps,), after a transposed convolution."""
    return tuple(
        size * s + (max(k - s, 0) if padding == "valid" else 0)
        for size, k, s in zip(sizes, kernel, stride, strict=True)
    )


def _flops(layer: Block, shapes: Sequence[Shape], positions: int) -> int:
    """Return two per weight and input position."""
    return 2 * layer.own_tensors(shapes)["weight"].elements * positions


class TransposedConv2d(Block):
    """Spread every pixel over a learned kernel, after Zeiler et al. (2010), CVPR.

    The gradient of ``conv2d`` with the same kernel, stride and padding.
    """

    kind: Literal["transposed_conv2d"] = "transposed_conv2d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output channels."""
    kernel_size: Pair = 3
    """Height and width of each filter, in pixels."""
    stride: Pair = 1
    """Pixels of the output from one input pixel to the next."""
    padding: Padding = "valid"
    """``same``: the output is the input times the stride; ``valid``: all that the
    kernel reaches."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (filters, height, width)."""
        _, height, width = image_of(shapes, self.kind)
        kernel, stride = pair(self.kernel_size), pair(self.stride)
        return (self.filters, *spread((height, width), kernel, stride, self.padding))

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (channels, filters, height, width) and bias (filters,)."""
        self.output_shape(shapes)
        sums = self.filters * self.sums_per_output
        weight = (shapes[0][0], sums, *pair(self.kernel_size))
        return self.weight_and_bias(weight, unit_axis=1)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight and input pixel."""
        return _flops(self, shapes, shapes[0][1] * shapes[0][2])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.transposed_convolution import TransposedConv

        shape = self.output_shape(shapes)
        return TransposedConv(
            self.own_tensors(shapes)["weight"].shape,
            stride=pair(self.stride),
            sizes=shape[1:],
            same=self.padding == "same",
            bias=self.bias is not False,
            tail=self.tail(shape),
        )


class TransposedConv1d(SequenceBlock):
    """Spread every step over a learned kernel, after Zeiler et al. (2010), CVPR.

    The gradient of ``conv1d`` with the same kernel, stride and padding.
    """

    kind: Literal["transposed_conv1d"] = "transposed_conv1d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output features."""
    kernel_size: Count = 3
    """Length of each filter, in steps."""
    stride: Count = 1
    """Steps of the output from one input step to the next."""
    padding: Padding = "valid"
    """``same``: the output is the input times the stride; ``valid``: all that the
    kernel reaches."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, filters)."""
        steps, _ = sequence_of(shapes, self.kind)
        kernel, stride = (self.kernel_size,), (self.stride,)
        return (*spread((steps,), kernel, stride, self.padding), self.filters)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return where the kernels of real steps reach, or stand with ``same``."""
        spread = Spread(self.kernel_size, self.stride)
        move = spread if self.padding == "valid" else Repeat(self.stride)
        return None if masks[0] is None else masks[0].then(move)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (features, filters, kernel) and bias (filters,)."""
        self.output_shape(shapes)
        sums = self.filters * self.sums_per_output
        return self.weight_and_bias((shapes[0][1], sums, self.kernel_size), unit_axis=1)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight and input step."""
        return _flops(self, shapes, shapes[0][0])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.transposed_convolution import TransposedConv

        return TransposedConv(
            self.own_tensors(shapes)["weight"].shape,
            stride=(self.stride,),
            sizes=self.output_shape(shapes)[:1],
            same=self.padding == "same",
            bias=self.bias is not False,
            tail=self.tail(self.tail_shape(shapes)),
        )
