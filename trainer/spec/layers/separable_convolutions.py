"""Convolutions of images that look at each channel alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Block, Pair, image_of, pair
from trainer.spec.layers.convolutions import Padding, slid
from trainer.spec.layers.sequence_convolutions import (
    depthwise_weight,
    separable_tensors,
)
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn


class _Depthwise2d(Block):
    """A window over each channel of an image."""

    kernel_size: Pair = 3
    """Height and width of each filter, in pixels."""
    stride: Pair = 1
    """Pixels from one position to the next."""
    padding: Padding = "valid"
    """What happens at the border."""
    dilation: Pair = 1
    """Pixels between the filter's own taps."""
    depth_multiplier: Count = 1
    """Filters of each input channel."""

    def slid_image(self, shapes: Sequence[Shape]) -> tuple[int, Shape]:
        """Return the input's channels and (height, width) that come out."""
        kind = str(type(self).model_fields["kind"].default)
        channels, height, width = image_of(shapes, kind)
        kernel, dilation = pair(self.kernel_size), pair(self.dilation)
        reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        stride = pair(self.stride)
        return channels, slid(kind, (height, width), reach, stride, self.padding)


class DepthwiseConv2d(_Depthwise2d):
    """Filter each channel of an image alone, after Howard et al. (2017).

    MobileNets, arXiv:1704.04861, equation 3.
    """

    kind: Literal["depthwise_conv2d"] = "depthwise_conv2d"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels x depth_multiplier, height, width)."""
        channels, sizes = self.slid_image(shapes)
        return (channels * self.depth_multiplier, *sizes)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (channels x depth_multiplier, 1, height, width) and bias."""
        channels, _ = self.slid_image(shapes)
        weight = depthwise_weight(
            channels, pair(self.kernel_size), self.depth_multiplier
        )
        return self.weight_and_bias(weight.shape) | {"weight": weight}

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.convolution import Conv2d as Module

        shape = self.output_shape(shapes)
        return Module(
            shapes[0],
            shape[0],
            kernel=pair(self.kernel_size),
            stride=pair(self.stride),
            same=self.padding == "same",
            dilation=pair(self.dilation),
            groups=shapes[0][0],
            bias=self.bias is not False,
            tail=self.tail(shape),
        )


class SeparableConv2d(_Depthwise2d):
    """Filter each channel alone, then mix them at each pixel, after Chollet (2017).

    CVPR, section 3: channels x kernel + channels x filters weights in place of their
    product.
    """

    kind: Literal["separable_conv2d"] = "separable_conv2d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output channels."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (filters, height, width)."""
        return (self.filters, *self.slid_image(shapes)[1])

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return depthwise_weight, pointwise_weight and bias."""
        channels, _ = self.slid_image(shapes)
        kernel = pair(self.kernel_size)
        return separable_tensors(
            self, channels, kernel, self.depth_multiplier, self.filters
        )

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.padding import Border
        from trainer.modules.separable_convolution import SeparableConv

        tensors, border = self.own_tensors(shapes), None
        kernel, stride = pair(self.kernel_size), pair(self.stride)
        dilation = pair(self.dilation)
        if self.padding == "same":
            sizes = (shapes[0][1], shapes[0][2])
            border = Border(sizes, kernel, stride, dilation)
        return SeparableConv(
            tensors["depthwise_weight"].shape,
            tensors["pointwise_weight"].shape,
            stride=stride,
            border=border,
            dilation=dilation,
            bias=self.bias is not False,
            tail=self.tail(self.output_shape(shapes)),
        )
