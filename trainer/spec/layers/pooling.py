"""Layers that summarise patches of an image; they learn nothing.

Those over the steps of a sequence are in ``sequence_pooling``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from trainer.spec.layers.blocks import Pair, Plain, image_of, pair
from trainer.spec.layers.convolutions import Padding, slid
from trainer.spec.shapes import Shape

if TYPE_CHECKING:
    from torch import nn


class _Pool2d(Plain):
    """A window slid over each channel."""

    pool_size: Pair = 2
    """Height and width of the window, in pixels."""
    stride: Pair | None = None
    """Pixels from one window to the next; absent: side by side."""
    padding: Padding = "valid"
    """What happens at the border."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels, height, width)."""
        channels, height, width = image_of(shapes, "pooling")
        size, stride = self.window()
        return (
            channels,
            *slid("pooling", (height, width), size, stride, self.padding),
        )

    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the window's size and stride, both (height, width)."""
        size = pair(self.pool_size)
        return size, size if self.stride is None else pair(self.stride)


class MaxPool2d(_Pool2d):
    """Keep the largest value of each window.

    After Riesenhuber and Poggio (1999), Nature Neuroscience 2.
    """

    kind: Literal["max_pool2d"] = "max_pool2d"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pooling import MaxPool2d as Module

        return Module(shapes[0], *self.window(), same=self.padding == "same")


class AveragePool2d(_Pool2d):
    """Keep the mean of each window, zeros of the border not counted.

    The subsampling of convolutional networks, after LeCun et al. (1998).
    """

    kind: Literal["average_pool2d"] = "average_pool2d"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pooling import AveragePool2d as Module

        return Module(shapes[0], *self.window(), same=self.padding == "same")


class GlobalAveragePool2d(Plain):
    """Keep the mean of each channel, after Lin et al. (2014), ICLR."""

    kind: Literal["global_average_pool2d"] = "global_average_pool2d"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels,)."""
        return (image_of(shapes, self.kind)[0],)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pooling import GlobalAveragePool2d as Module

        return Module()


class GlobalMaxPool2d(Plain):
    """Keep the largest value of each channel, after Oquab et al. (2015), CVPR."""

    kind: Literal["global_max_pool2d"] = "global_max_pool2d"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (channels,)."""
        return (image_of(shapes, self.kind)[0],)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pooling import GlobalMaxPool2d as Module

        return Module()
