"""Rules that turn gradients into steps. Add one: class here, name in ``Optimizer``.

``build`` receives the parameters that learn, in layer order: as tensors, or as torch's
groups where layers have learning rates of their own. Where torch has a fused kernel it
is asked for: one call updates all parameters. The plain rules are here, the others in
``adaptive.py``, ``moments.py`` and ``layerwise.py``; what torch lacks is in
``trainer/rules``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Fraction, Named, Rate
from trainer.spec.optimizers.adaptive import Adadelta, Adagrad, Ftrl, Rmsprop
from trainer.spec.optimizers.layerwise import Lamb, Muon
from trainer.spec.optimizers.moments import (
    Adam,
    Adamax,
    Adamw,
    Amsgrad,
    Lion,
    Nadam,
    Radam,
)
from trainer.spec.optimizers.rule import Rule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.optimizer import ParamsT


class GradientDescent(Rule):
    """Gradient descent over all rows at once: w ← w - η g, after Cauchy (1847).

    An epoch is one step. `batch_size` only bounds how many rows go through the network
    at once: their gradients add up to that of the mean loss over all rows (batch
    normalisation still sees each part by itself). Lengths of schedules count these
    steps, so ``{"epochs": n}`` is n.
    """

    kind: Literal["gradient_descent"] = "gradient_descent"
    learning_rate: Rate = 0.1
    """Step length per unit of gradient, before the schedule."""
    slots: ClassVar[int] = 0
    full_batch: ClassVar[bool] = True

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(parameters, lr=self.learning_rate, fused=True)


class Sgd(Rule):
    """Stochastic gradient descent: w ← w - η g, after Robbins and Monro (1951)."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.01
    """Step length per unit of gradient, before the schedule."""
    slots: ClassVar[int] = 0

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(parameters, lr=self.learning_rate, fused=True)


class Momentum(Rule):
    """Momentum: m ← β m + g, w ← w - η m, after Polyak (1964)."""

    kind: Literal["momentum"] = "momentum"
    learning_rate: Rate = 0.01
    """Step length per unit of gradient, before the schedule."""
    momentum: Fraction = 0.9
    """Share of the earlier steps that is kept at each step."""
    slots: ClassVar[int] = 1

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(
            parameters, lr=self.learning_rate, momentum=self.momentum, fused=True
        )


class Nesterov(Rule):
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

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import SGD

        return SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=True,
            fused=True,
        )


Optimizer = Annotated[
    Annotated[
        GradientDescent
        | Sgd
        | Momentum
        | Nesterov
        | Adagrad
        | Adadelta
        | Rmsprop
        | Adam
        | Adamw
        | Amsgrad
        | Adamax
        | Nadam
        | Radam
        | Lion
        | Lamb
        | Ftrl
        | Muon,
        Field(discriminator="kind"),
    ],
    Named,
]
