"""Rules that turn gradients into steps. Add one: class here, name in ``Optimizer``.

``build`` receives the parameters that learn, in layer order. Where torch has a fused
kernel it is asked for: one call updates all parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Fraction, Named, Rate, Spec

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer


class Sgd(Spec):
    """Stochastic gradient descent: w ← w - η g, after Robbins and Monro (1951)."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.01
    """Step length per unit of gradient, before the schedule."""
    slots: ClassVar[int] = 0

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(parameters, lr=self.learning_rate, fused=True)


class Momentum(Spec):
    """Momentum: m ← β m + g, w ← w - η m, after Polyak (1964)."""

    kind: Literal["momentum"] = "momentum"
    learning_rate: Rate = 0.01
    """Step length per unit of gradient, before the schedule."""
    momentum: Fraction = 0.9
    """Share of the earlier steps that is kept at each step."""
    slots: ClassVar[int] = 1

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(
            parameters, lr=self.learning_rate, momentum=self.momentum, fused=True
        )


class Nesterov(Spec):
    """Nesterov accelerated gradient, after Nesterov (1983), as in Sutskever (2013).

    m ← β m + g, w ← w - η (g + β m): the gradient is taken ahead, where the momentum
    is about to carry the weights.
    """

    kind: Literal["nesterov"] = "nesterov"
    learning_rate: Rate = 0.01
    """Step length per unit of gradient, before the schedule."""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the earlier steps that is kept at each step."""
    slots: ClassVar[int] = 1

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=True,
            fused=True,
        )


class Adagrad(Spec):
    """Adaptive gradient, after Duchi et al. (2011), JMLR: rates shrink for good."""

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: Rate = 0.01
    """Step length per unit of normalised gradient, before the schedule."""
    initial_accumulator: Coefficient = 0.1
    """Starting value of the sum of squared gradients."""
    epsilon: Rate = 1e-7
    """Added to the root of the sum."""
    slots: ClassVar[int] = 1

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adagrad as TorchAdagrad

        return TorchAdagrad(
            parameters,
            lr=self.learning_rate,
            initial_accumulator_value=self.initial_accumulator,
            eps=self.epsilon,
        )


class Adadelta(Spec):
    """Adagrad over a window, in the weights' own units, after Zeiler (2012)."""

    kind: Literal["adadelta"] = "adadelta"
    learning_rate: Rate = 1.0
    """Factor on the step; the paper uses 1."""
    rho: Fraction = 0.95
    """Decay of both running means, per step."""
    epsilon: Rate = 1e-6
    """Added inside both roots."""
    slots: ClassVar[int] = 2

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adadelta as TorchAdadelta

        return TorchAdadelta(
            parameters, lr=self.learning_rate, rho=self.rho, eps=self.epsilon
        )


class Rmsprop(Spec):
    """Divide by a running root mean square, after Hinton (2012), lecture 6e."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Rate = 0.001
    """Step length per unit of normalised gradient, before the schedule."""
    rho: Fraction = 0.9
    """Decay of the mean of the squared gradient, per step."""
    momentum: Fraction = 0.0
    """Share of the earlier steps that is kept at each step."""
    centered: bool = False
    """Whether to divide by the deviation instead of the root mean square."""
    epsilon: Rate = 1e-7
    """Added to the root."""
    slots: ClassVar[int] = 3

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import RMSprop

        return RMSprop(
            parameters,
            lr=self.learning_rate,
            alpha=self.rho,
            momentum=self.momentum,
            centered=self.centered,
            eps=self.epsilon,
        )


class Adam(Spec):
    """Adaptive moment estimation, after Kingma and Ba (2015), ICLR, algorithm 1."""

    kind: Literal["adam"] = "adam"
    learning_rate: Rate = 0.001
    """Step length per unit of normalised gradient, before the schedule."""
    beta1: Fraction = 0.9
    """Decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """Decay of the mean of its square, per step."""
    epsilon: Rate = 1e-8
    """Added to the root of the corrected second moment."""
    slots: ClassVar[int] = 2

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adam as TorchAdam

        return TorchAdam(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            fused=True,
        )


class Adamw(Spec):
    """Adam with decoupled weight decay, after Loshchilov and Hutter (2019), ICLR."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 0.001
    """Step length per unit of normalised gradient, before the schedule."""
    beta1: Fraction = 0.9
    """Decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """Decay of the mean of its square, per step."""
    epsilon: Rate = 1e-8
    """Added to the root of the corrected second moment."""
    weight_decay: Coefficient = 0.01
    """Share of each weight removed per step and unit of learning rate."""
    slots: ClassVar[int] = 2

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import AdamW

        return AdamW(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            fused=True,
        )


class Nadam(Spec):
    """Adam with a Nesterov step, after Dozat (2016), algorithm 8."""

    kind: Literal["nadam"] = "nadam"
    learning_rate: Rate = 0.001
    """Step length per unit of normalised gradient, before the schedule."""
    beta1: Fraction = 0.9
    """Decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """Decay of the mean of its square, per step."""
    epsilon: Rate = 1e-8
    """Added to the root of the corrected second moment."""
    slots: ClassVar[int] = 2

    def build(self, parameters: Iterable[Tensor]) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import NAdam

        return NAdam(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
        )


Optimizer = Annotated[
    Annotated[
        Sgd | Momentum | Nesterov | Adagrad | Adadelta | Rmsprop | Adam | Adamw | Nadam,
        Field(discriminator="kind"),
    ],
    Named,
]
