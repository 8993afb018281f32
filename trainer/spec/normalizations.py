"""Normalisation of a layer's sums or outputs. Add one: class here, then the union.

A normalisation tells its tensors (name, shape, whether it learns) so that models can
be compared without building them. `shape` is that of one example; the features of a
sequence (steps, features) lie last, channels of an image first. `axis` says where they
lie in a module that turns its input (a convolution over steps).

What a mean and a variance go over, beside the features:

    batch     one feature or channel, over the batch and all positions
    layer     all features of a vector, of each step, or all channels and pixels
    group     the features of a group, over all positions of one example
    instance  one feature or channel, over all positions of one example
    rms       as layer
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.axes import features_axis
from trainer.spec.base import Count, Fraction, Named, Rate, Spec
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn

MOST_GROUPS = 32
"""Groups of channels where nothing is said, as in Wu and He (2018)."""


class NoNormalization(Spec):
    """Leave the layer's sums as they are."""

    kind: Literal["none"] = "none"

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return no tensors."""
        return {}

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return None: there is nothing to do."""
        return None


class Batch(Spec):
    """Batch normalisation per unit or channel, after Ioffe and Szegedy (2015), ICML.

    Four vectors: scale and shift learn; the moving mean and variance are used when
    the layer is frozen or asked to predict. While training, a batch is divided by its
    biased variance (over n); the moving variance follows the unbiased one (over
    n - 1), as in torch and in the paper's algorithm 2, while Keras keeps the biased.
    """

    kind: Literal["batch"] = "batch"
    momentum: Fraction = 0.9
    """Share of the moving statistics that is kept at each step, as in Keras (torch
    counts the share that is replaced)."""
    epsilon: Rate = 0.001
    """Added to the variance, as in Keras."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return the tensors for a layer output of `shape`."""
        size = (_features(shape, axis),)
        return {
            "weight": TensorShape(size),
            "bias": TensorShape(size),
            "running_mean": TensorShape(size, learns=False),
            "running_var": TensorShape(size, learns=False),
            "num_batches_tracked": TensorShape((), learns=False, dtype="int64"),
        }

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return the module for a layer output of `shape`."""
        from torch import nn

        from trainer.modules.normalization import FeaturesLastBatchNorm

        axis = features_axis(shape) if axis is None else axis
        of: type[nn.BatchNorm1d | nn.BatchNorm2d] = nn.BatchNorm1d
        if len(shape) == 3:
            of = nn.BatchNorm2d
        elif axis == 1:
            of = FeaturesLastBatchNorm
        return of(shape[axis], eps=self.epsilon, momentum=1 - self.momentum)


def _alone(what: str, shape: Shape) -> Impossible:
    """Return the refusal of a normalisation over a single number."""
    return Impossible(
        f"{what} of {list(shape)} goes over one number, which would become 0",
        field="normalization",
        suggestion="none",
    )


class Layer(Spec):
    """Layer normalisation of each example, after Ba et al. (2016), arXiv:1607.06450.

    Depends on no other example, so training and prediction agree and batches can be
    small. Images are normalised over all channels and pixels, with a scale and a
    shift for each channel, as in Wu and He (2018), figure 2.
    """

    kind: Literal["layer"] = "layer"
    epsilon: Rate = 1e-5
    """Added to the variance, which is the biased one (over n)."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return scale and shift."""
        together = prod(shape) if len(shape) > 2 else _features(shape, axis)
        if together == 1:
            raise _alone("layer normalisation", shape)
        return _scale_and_shift(shape, axis)

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return the module for a layer output of `shape`."""
        from trainer.modules.normalization import GroupNorm, LayerNorm

        axis = features_axis(shape) if axis is None else axis
        if len(shape) > 2:
            return GroupNorm(1, shape[axis], self.epsilon, axis)
        return LayerNorm(shape[axis], self.epsilon, axis, len(shape))


class Group(Spec):
    """Normalise groups of channels of each example, after Wu and He (2018), ECCV."""

    kind: Literal["group"] = "group"
    groups: Count | None = None
    """Groups, of equal size; absent: as many as divide the channels, at most 32."""
    epsilon: Rate = 1e-5
    """Added to the variance, which is the biased one (over n)."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return scale and shift."""
        self._groups(_features(shape, axis), shape)
        return _scale_and_shift(shape, axis)

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return the module for a layer output of `shape`."""
        from trainer.modules.normalization import GroupNorm

        axis = features_axis(shape) if axis is None else axis
        groups = self._groups(shape[axis], shape)
        return GroupNorm(groups, shape[axis], self.epsilon, axis)

    def _groups(self, features: int, shape: Shape) -> int:
        """Return how many groups there are; each holds more than one number."""
        positions = prod(shape) // features
        if prod(shape) == 1:
            raise _alone("group normalisation", shape)
        most = min(MOST_GROUPS, features if positions > 1 else max(features // 2, 1))
        best = max(n for n in range(1, most + 1) if features % n == 0)
        if self.groups is None:
            return best
        if features % self.groups:
            raise Impossible(
                f"{self.groups} groups do not divide {features} features evenly",
                field="normalization",
                suggestion=f"groups {best}",
            )
        if self.groups == features and positions == 1:
            raise Impossible(
                f"{self.groups} groups of {features} features hold one number each, "
                "and a number alone becomes 0",
                field="normalization",
                suggestion=f"groups {best}",
            )
        return self.groups


class Instance(Spec):
    """Normalise each channel of each example, after Ulyanov et al. (2016).

    arXiv:1607.08022; contrast and brightness of the single image go.
    """

    kind: Literal["instance"] = "instance"
    epsilon: Rate = 1e-5
    """Added to the variance, which is the biased one (over n)."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return scale and shift."""
        if prod(shape) == _features(shape, axis):
            raise Impossible(
                "instance normalisation needs several positions of each feature, as "
                f"images and sequences have, is given {list(shape)}",
                field="normalization",
                suggestion="layer",
            )
        return _scale_and_shift(shape, axis)

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return the module for a layer output of `shape`."""
        from trainer.modules.normalization import GroupNorm

        axis = features_axis(shape) if axis is None else axis
        return GroupNorm(shape[axis], shape[axis], self.epsilon, axis)


class Rms(Spec):
    """Divide by the root of the mean square, after Zhang and Sennrich (2019), NeurIPS.

    Layer normalisation without its centring and its shift.
    """

    kind: Literal["rms"] = "rms"
    epsilon: Rate = 1e-6
    """Added to the mean square, as in Keras."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return the scale."""
        return {"weight": TensorShape((_features(shape, axis),))}

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module | None:
        """Return the module for a layer output of `shape`."""
        from trainer.modules.normalization import RmsNorm

        axis = features_axis(shape) if axis is None else axis
        axes = tuple(range(len(shape))) if len(shape) > 2 else (axis,)
        return RmsNorm(shape[axis], self.epsilon, axis, axes, len(shape))


def _features(shape: Shape, axis: int | None) -> int:
    return shape[features_axis(shape) if axis is None else axis]


def _scale_and_shift(shape: Shape, axis: int | None) -> dict[str, TensorShape]:
    size = (_features(shape, axis),)
    return {"weight": TensorShape(size), "bias": TensorShape(size)}


Normalization = Annotated[
    Annotated[
        NoNormalization | Batch | Layer | Group | Instance | Rms,
        Field(discriminator="kind"),
    ],
    Named,
]
