"""Activations of the rectifier's family: linear above zero, less than that below.

They belong to the union in ``activations``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from trainer.spec.activations.activation_function import ActivationFunction
from trainer.spec.axes import features_axis
from trainer.spec.base import Coefficient, Rate
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn


class Relu(ActivationFunction):
    """Rectify: f(z) = max(0, z), after Nair and Hinton (2010), ICML."""

    kind: Literal["relu"] = "relu"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ReLU()


class Relu6(ActivationFunction):
    """Rectify and bound: f(z) = min(max(0, z), 6), after Krizhevsky (2010), CIFAR-10.

    The bound keeps the numbers representable in few bits.
    """

    kind: Literal["relu6"] = "relu6"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ReLU6()


class LeakyRelu(ActivationFunction):
    """Rectify with a leak: f(z) = max(slope z, z), after Maas et al. (2013), ICML."""

    kind: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: Coefficient = 0.01
    """Slope for z < 0; 0.2 leaks more and often trains better (Xu et al., 2015)."""

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.LeakyReLU(self.negative_slope)


class Rrelu(ActivationFunction):
    """Rectify with a random leak, after Xu et al. (2015), arXiv:1505.00853, 2.4.

    While training f(z) = a z below zero, where a is drawn from the uniform
    distribution on [lower, upper] for each number and step; otherwise a is
    (lower + upper) / 2. The paper divides by its a, drawn from U(3, 8); the default
    slopes are the ends of that range, as in torch.
    """

    kind: Literal["rrelu"] = "rrelu"
    lower: Coefficient = 1 / 8
    """Smallest slope for z < 0."""
    upper: Coefficient = 1 / 3
    """Largest slope for z < 0."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower > self.upper:
            raise ValueError(
                f"lower {self.lower} lies above upper {self.upper}; swap them"
            )
        return self

    @property
    def random(self) -> bool:
        """Return True: slopes are drawn at each step."""
        return True

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from trainer.modules.activations import RandomisedLeakyRelu

        return RandomisedLeakyRelu(self.lower, self.upper)


class Prelu(ActivationFunction):
    """Rectify with a learned leak: f(z) = max(0, z) + a min(0, z).

    After He et al. (2015), ICCV, equation 1. The slopes are never penalised, as in
    section 2.1 there. On small training sets they overfit.
    """

    kind: Literal["prelu"] = "prelu"
    shared: Literal["channel", "layer"] = "channel"
    """Whether each channel or unit learns a slope, or the layer one for all."""
    initial_slope: Coefficient = 0.25
    """Slope for z < 0 before training, as in the paper."""

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return the slopes: weight (channels,) or (1,)."""
        axis = features_axis(shape) if axis is None else axis
        size = 1 if self.shared == "layer" else shape[axis]
        return {"weight": TensorShape((size,))}

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from trainer.modules.activations import Prelu as Module

        axis = features_axis(shape) if axis is None else axis
        size = 1 if self.shared == "layer" else shape[axis]
        return Module(size, self.initial_slope, axis)


class Elu(ActivationFunction):
    """Saturate softly below zero: f(z) = z or alpha (exp(z) - 1).

    After Clevert et al. (2016), ICLR.
    """

    kind: Literal["elu"] = "elu"
    alpha: Coefficient = 1.0
    """The value -f(z) approaches for very negative z."""

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ELU(self.alpha)


class Selu(ActivationFunction):
    """Scale ELU so that layers keep mean 0 and variance 1.

    After Klambauer et al. (2017), NeurIPS; use with LeCun initialisation, alpha
    dropout and no other normalisation.
    """

    kind: Literal["selu"] = "selu"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.SELU()


class Celu(ActivationFunction):
    """Saturate softly with a smooth slope at zero: f(z) = z or a (exp(z / a) - 1).

    After Barron (2017), arXiv:1704.07483.
    """

    kind: Literal["celu"] = "celu"
    alpha: Rate = 1.0
    """The value -f(z) approaches for very negative z."""

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.CELU(self.alpha)


class Maxout(ActivationFunction):
    """Take the largest of several sums, after Goodfellow et al. (2013), ICML.

    A layer with `units` outputs has `units` x `pieces` sums, each with weights of its
    own; outputs stay `units` many.
    """

    kind: Literal["maxout"] = "maxout"
    pieces: Annotated[int, Field(ge=2, le=64)] = 2
    """Sums that each output is the largest of; the k of the paper."""

    @property
    def sums_per_output(self) -> int:
        """Return how many sums each output is made of."""
        return self.pieces

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from trainer.modules.activations import Maxout as Module

        return Module(self.pieces, features_axis(shape) if axis is None else axis)
