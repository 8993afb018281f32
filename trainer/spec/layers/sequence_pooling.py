"""Layers that summarise steps of a sequence; they learn nothing.

Steps that are padding are left out: a padded sequence and the same without padding
give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Step, sequence_of
from trainer.spec.layers.convolutions import Padding, slid
from trainer.spec.masks import Mask, Slide
from trainer.spec.shapes import Shape

if TYPE_CHECKING:
    from torch import nn


class _Pool1d(Step):
    """A window slid over the steps of each feature."""

    minds_padding: ClassVar[bool] = True
    pool_size: Count = 2
    """Length of the window, in steps."""
    stride: Count | None = None
    """Steps from one window to the next; absent: side by side."""
    padding: Padding = "valid"
    """What happens at the ends."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features)."""
        kind = str(type(self).model_fields["kind"].default)
        steps, features = sequence_of(shapes, kind)
        size = (self.pool_size,)
        return (*slid(kind, (steps,), size, (self.step,), self.padding), features)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the mask after the window went over it."""
        move = Slide(self.pool_size, self.step, self.padding)
        return None if masks[0] is None else masks[0].then(move)

    @property
    def step(self) -> int:
        """Return how far the window goes at once."""
        return self.pool_size if self.stride is None else self.stride


class MaxPool1d(_Pool1d):
    """Keep each feature's largest value of every window of steps.

    After Riesenhuber and Poggio (1999), Nature Neuroscience 2.
    """

    kind: Literal["max_pool1d"] = "max_pool1d"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.sequence_pooling import MaxPool1d as Module

        same = self.padding == "same"
        return Module(shapes[0][0], self.pool_size, self.step, same=same)


class AveragePool1d(_Pool1d):
    """Keep each feature's mean of every window, padding and zeros not counted.

    The subsampling of convolutional networks, after LeCun et al. (1998).
    """

    kind: Literal["average_pool1d"] = "average_pool1d"

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.sequence_pooling import AveragePool1d as Module

        same = self.padding == "same"
        return Module(shapes[0][0], self.pool_size, self.step, same=same)


class GlobalMaxPool1d(Step):
    """Keep each feature's largest value over all steps, after Kim (2014), EMNLP.

    Max-over-time pooling; of a sequence that is nothing but padding it is 0.
    """

    kind: Literal["global_max_pool1d"] = "global_max_pool1d"
    minds_padding: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (features,)."""
        return (sequence_of(shapes, self.kind)[1],)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.sequence_pooling import GlobalMaxPool1d as Module

        return Module()


class GlobalAveragePool1d(Step):
    """Keep each feature's mean over all steps, after Lin et al. (2014), ICLR.

    They did so in space; of a sequence that is nothing but padding it is 0.
    """

    kind: Literal["global_average_pool1d"] = "global_average_pool1d"
    minds_padding: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (features,)."""
        return (sequence_of(shapes, self.kind)[1],)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.sequence_pooling import GlobalAveragePool1d as Module

        return Module()
