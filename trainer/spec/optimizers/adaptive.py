"""Optimizers with a rate of its own for every weight, from its squared gradients.

They are named in the union in ``__init__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from trainer.spec.base import Coefficient, Fraction, Rate
from trainer.spec.optimizers.rule import Rule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.optimizer import ParamsT


class Adagrad(Rule):
    """Adaptive gradient, after Duchi et al. (2011), JMLR: rates shrink for good."""

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: Rate = 0.01
    """Step length per unit of normalised gradient, before the schedule."""
    initial_accumulator: Coefficient = 0.1
    """Starting value of the sum of squared gradients."""
    epsilon: Rate = 1e-7
    """Added to the root of the sum."""
    slots: ClassVar[int] = 1

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adagrad as TorchAdagrad

        return TorchAdagrad(
            parameters,
            lr=self.learning_rate,
            initial_accumulator_value=self.initial_accumulator,
            eps=self.epsilon,
        )


class Adadelta(Rule):
    """Adagrad over a window, in the weights' own units, after Zeiler (2012)."""

    kind: Literal["adadelta"] = "adadelta"
    learning_rate: Rate = 1.0
    """Factor on the step; the paper uses 1."""
    rho: Fraction = 0.95
    """Decay of both running means, per step."""
    epsilon: Rate = 1e-6
    """Added inside both roots."""
    slots: ClassVar[int] = 2

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adadelta as TorchAdadelta

        return TorchAdadelta(
            parameters, lr=self.learning_rate, rho=self.rho, eps=self.epsilon
        )


class Rmsprop(Rule):
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

    def build(self, parameters: ParamsT) -> TorchOptimizer:
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


class Ftrl(Rule):
    """Follow the proximally regularised leader, after McMahan et al. (2013), KDD.

    Per weight, with the learning rate α: n' = n + g², σ = (n'^-p - n^-p) / α,
    z ← z + g - σ w, then w = 0 where |z| ≤ l1, else
    w = (sign(z) l1 - z) / ((β + n'^-p) / α + 2 l2). With l1 many weights are 0 exactly.
    The weights follow from z and n alone: unless `keep_initial_weights` is on, the
    first step forgets what the initialiser drew, as in TensorFlow's ``Ftrl`` and in
    algorithm 1 of the paper, which starts at 0. l1, l2 and `beta` act on weights only,
    not on biases and normalisations.
    """

    kind: Literal["ftrl"] = "ftrl"
    learning_rate: Rate = 0.05
    """Step length per unit of normalised gradient, before the schedule: α."""
    learning_rate_power: Annotated[float, Field(ge=-1, le=0)] = -0.5
    """How rates fall with the sum n of squared gradients, as n^p; 0: not at all."""
    initial_accumulator: Coefficient = 0.1
    """Starting value of n, as in TensorFlow; the paper's is 0."""
    l1: Coefficient = 0.0
    """Coefficient of Σ|w|: the larger, the more weights are exactly 0."""
    l2: Coefficient = 0.0
    """Coefficient of Σw²; the paper's λ2 is twice this."""
    beta: Coefficient = 0.0
    """The paper's β: smooths the rates of weights with few gradients; it uses 1."""
    keep_initial_weights: bool | None = None
    """Whether the initial weights are a centre like all later ones: training then
    starts from them. Absent: yes if there are hidden layers, whose units would learn
    nothing if they began at 0; no for a linear model."""
    slots: ClassVar[int] = 2
    by_role: ClassVar[bool] = True

    def filled(self, *, hidden: bool) -> Self:
        """Return the rule with its treatment of the initial weights filled in."""
        if self.keep_initial_weights is not None:
            return self
        return self.model_copy(update={"keep_initial_weights": hidden})

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from trainer.rules.ftrl import Ftrl as Proximal

        return Proximal(
            parameters,
            self.learning_rate,
            power=self.learning_rate_power,
            initial_accumulator=self.initial_accumulator,
            l1=self.l1,
            l2=self.l2,
            beta=self.beta,
            keep_initial_weights=bool(self.keep_initial_weights),
        )
