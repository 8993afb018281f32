"""Activation functions. Add one: write its class, name it in ``Activation`` below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Named, Spec

if TYPE_CHECKING:
    from torch import nn


class NoActivation(Spec):
    """Leave the layer linear."""

    kind: Literal["none"] = "none"

    def build(self) -> nn.Module:
        """Return the identity."""
        from torch import nn

        return nn.Identity()


class Linear(Spec):
    """Return the input as it is: f(z) = z."""

    kind: Literal["linear"] = "linear"

    def build(self) -> nn.Module:
        """Return the identity."""
        from torch import nn

        return nn.Identity()


class Sigmoid(Spec):
    """Squash into (0, 1): f(z) = 1 / (1 + exp(-z)), the logistic function."""

    kind: Literal["sigmoid"] = "sigmoid"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Sigmoid()


class Tanh(Spec):
    """Squash into (-1, 1): the hyperbolic tangent."""

    kind: Literal["tanh"] = "tanh"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Tanh()


class Relu(Spec):
    """Rectify: f(z) = max(0, z), after Nair and Hinton (2010), ICML."""

    kind: Literal["relu"] = "relu"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ReLU()


class LeakyRelu(Spec):
    """Rectify with a leak: f(z) = max(slope z, z), after Maas et al. (2013), ICML."""

    kind: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: Coefficient = 0.01
    """Slope for z < 0; 0.2 leaks more and often trains better (Xu et al., 2015)."""

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.LeakyReLU(self.negative_slope)


class Elu(Spec):
    """Saturate softly below zero: f(z) = z or alpha (exp(z) - 1).

    After Clevert et al. (2016), ICLR.
    """

    kind: Literal["elu"] = "elu"
    alpha: Coefficient = 1.0
    """The value -f(z) approaches for very negative z."""

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.ELU(self.alpha)


class Selu(Spec):
    """Scale ELU so that layers keep mean 0 and variance 1.

    After Klambauer et al. (2017), NeurIPS; use with LeCun initialisation.
    """

    kind: Literal["selu"] = "selu"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.SELU()


class Gelu(Spec):
    """Weight z by the normal distribution: f(z) = z Φ(z).

    After Hendrycks and Gimpel (2016), arXiv:1606.08415.
    """

    kind: Literal["gelu"] = "gelu"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.GELU()


class Silu(Spec):
    """Gate z by its own sigmoid: f(z) = z sigmoid(z), after Elfwing et al. (2018)."""

    kind: Literal["silu"] = "silu"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.SiLU()


class Softplus(Spec):
    """Smooth the rectifier: f(z) = log(1 + exp(z)), after Dugas et al. (2001)."""

    kind: Literal["softplus"] = "softplus"

    def build(self) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Softplus()


Activation = Annotated[
    Annotated[
        NoActivation
        | Linear
        | Sigmoid
        | Tanh
        | Relu
        | LeakyRelu
        | Elu
        | Selu
        | Gelu
        | Silu
        | Softplus,
        Field(discriminator="kind"),
    ],
    Named,
]
