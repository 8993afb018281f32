"""Activation functions. Add one: write its class, name it in ``Activation`` below.

The rectifier and its relatives are in ``rectifiers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.activations.activation_function import ActivationFunction
from trainer.spec.activations.rectifiers import (
    Celu,
    Elu,
    LeakyRelu,
    Maxout,
    Prelu,
    Relu,
    Relu6,
    Rrelu,
    Selu,
)
from trainer.spec.axes import features_axis
from trainer.spec.base import Named
from trainer.spec.shapes import Shape

if TYPE_CHECKING:
    from torch import nn


class NoActivation(ActivationFunction):
    """Leave the layer linear."""

    kind: Literal["none"] = "none"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the identity."""
        from torch import nn

        return nn.Identity()


class Linear(ActivationFunction):
    """Return the input as it is: f(z) = z."""

    kind: Literal["linear"] = "linear"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the identity."""
        from torch import nn

        return nn.Identity()


class Sigmoid(ActivationFunction):
    """Squash into (0, 1): f(z) = 1 / (1 + exp(-z)), the logistic function."""

    kind: Literal["sigmoid"] = "sigmoid"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Sigmoid()


class Tanh(ActivationFunction):
    """Squash into (-1, 1): the hyperbolic tangent."""

    kind: Literal["tanh"] = "tanh"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Tanh()


class HardSigmoid(ActivationFunction):
    """Squash into [0, 1] by straight lines: f(z) = min(max(0, z + 3), 6) / 6.

    After Howard et al. (2019), ICCV, section 5.2.
    """

    kind: Literal["hard_sigmoid"] = "hard_sigmoid"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Hardsigmoid()


class HardTanh(ActivationFunction):
    """Squash into [-1, 1] by straight lines: f(z) = min(max(-1, z), 1).

    After Collobert (2004), thesis, Paris 6.
    """

    kind: Literal["hard_tanh"] = "hard_tanh"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Hardtanh()


class HardSwish(ActivationFunction):
    """Gate z by its hard sigmoid: f(z) = z hard_sigmoid(z).

    After Howard et al. (2019), ICCV, section 5.2.
    """

    kind: Literal["hard_swish"] = "hard_swish"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Hardswish()


class Gelu(ActivationFunction):
    """Weight z by the normal distribution: f(z) = z Φ(z).

    After Hendrycks and Gimpel (2016), arXiv:1606.08415.
    """

    kind: Literal["gelu"] = "gelu"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.GELU()


class Silu(ActivationFunction):
    """Gate z by its own sigmoid: f(z) = z sigmoid(z), after Elfwing et al. (2018)."""

    kind: Literal["silu"] = "silu"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.SiLU()


class Mish(ActivationFunction):
    """Gate z smoothly: f(z) = z tanh(softplus(z)), after Misra (2020), BMVC."""

    kind: Literal["mish"] = "mish"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Mish()


class Softplus(ActivationFunction):
    """Smooth the rectifier: f(z) = log(1 + exp(z)), after Dugas et al. (2001)."""

    kind: Literal["softplus"] = "softplus"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Softplus()


class Softsign(ActivationFunction):
    """Squash into (-1, 1) slowly: f(z) = z / (1 + |z|).

    After Glorot and Bengio (2010), AISTATS, section 3.1.
    """

    kind: Literal["softsign"] = "softsign"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Softsign()


class Softmax(ActivationFunction):
    """Share one among the features: f(z)_i = exp(z_i) / Σ_j exp(z_j).

    After Bridle (1990), NeurIPS. The features of a position compete: the channels of
    an image's pixel, the features of a sequence's step. An output layer needs none:
    losses take its sums, and predictions are given as probabilities.
    """

    kind: Literal["softmax"] = "softmax"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        axis = features_axis(shape) if axis is None else axis
        return nn.Softmax(dim=axis + 1)


class LogSoftmax(ActivationFunction):
    """Return the logarithm of softmax over the features, after Bridle (1990)."""

    kind: Literal["log_softmax"] = "log_softmax"

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module."""
        from torch import nn

        axis = features_axis(shape) if axis is None else axis
        return nn.LogSoftmax(dim=axis + 1)


Activation = Annotated[
    Annotated[
        NoActivation
        | Linear
        | Sigmoid
        | HardSigmoid
        | Tanh
        | HardTanh
        | Relu
        | Relu6
        | LeakyRelu
        | Rrelu
        | Prelu
        | Elu
        | Selu
        | Celu
        | Gelu
        | Silu
        | HardSwish
        | Mish
        | Softplus
        | Softsign
        | Softmax
        | LogSoftmax
        | Maxout,
        Field(discriminator="kind"),
    ],
    Named,
]
