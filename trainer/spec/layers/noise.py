"""Layers that disturb their inputs while training and pass them on otherwise.

They are random, so a frozen network is cut below them unless they are frozen too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Fraction, Rate
from trainer.spec.layers.blocks import Plain
from trainer.spec.shapes import Impossible, Shape

if TYPE_CHECKING:
    from torch import nn


class Noise(Plain):
    """A layer without weights that draws while training."""

    random: ClassVar[bool] = True


class Dropout(Noise):
    """Set inputs to 0 at random while training, after Srivastava et al. (2014), JMLR.

    The others are scaled by 1 / (1 - rate), so predictions need no change.
    """

    kind: Literal["dropout"] = "dropout"
    rate: Fraction = 0.5
    """Share of the inputs set to 0 at each step."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Dropout(self.rate)


class SpatialDropout(Noise):
    """Set whole channels to 0 at random, after Tompson et al. (2015), CVPR, 3.2.

    A channel of an image, or a feature over all steps of a sequence: neighbours in
    space or time are too alike for single numbers to be missed. The others are scaled
    by 1 / (1 - rate).
    """

    kind: Literal["spatial_dropout"] = "spatial_dropout"
    rate: Fraction = 0.5
    """Share of the channels set to 0 at each step."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        if len(shapes[0]) not in {2, 3}:
            raise Impossible(
                "spatial_dropout takes images (channels, height, width) or sequences "
                f"(steps, features), is given {list(shapes[0])}",
                field="kind",
                suggestion="dropout",
            )
        return shapes[0]

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        from trainer.modules.noise import FeatureDropout

        of = FeatureDropout if len(shapes[0]) == 2 else nn.Dropout2d
        return of(self.rate)


class AlphaDropout(Noise):
    """Drop to SELU's lowest value and keep mean and variance.

    After Klambauer et al. (2017), NeurIPS, "New Dropout Technique". Dropped inputs
    become -1.7581, then all are scaled and shifted to mean 0, variance 1.
    """

    kind: Literal["alpha_dropout"] = "alpha_dropout"
    rate: Fraction = 0.1
    """Share of the inputs dropped at each step; the paper found 0.05 or 0.1 good."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.AlphaDropout(self.rate)


class GaussianNoise(Noise):
    """Add draws from N(0, deviation²) while training, after Bishop (1995).

    Neural Computation 7: to first order a penalty on the slope of the outputs. On the
    network's input it is a denoising autoencoder's corruption.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    deviation: Rate = 0.1
    """Standard deviation of what is added, in units of the layer's input."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.noise import GaussianNoise as Module

        return Module(self.deviation)


class GaussianDropout(Noise):
    """Multiply by draws from N(1, rate / (1 - rate)), after Srivastava et al. (2014).

    JMLR 15, section 10: the mean and variance of dropout without setting anything to 0.
    """

    kind: Literal["gaussian_dropout"] = "gaussian_dropout"
    rate: Fraction = 0.5
    """The rate of the dropout whose variance the factors have."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.noise import GaussianDropout as Module

        return Module(self.rate)
