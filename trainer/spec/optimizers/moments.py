"""Adam and its relatives: running means of the gradient and of its size.

They are named in the union in ``__init__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Coefficient, Fraction, Rate
from trainer.spec.optimizers.rule import Rule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.optimizer import ParamsT


class Moments(Rule):
    """A rule that keeps a mean of the gradient and one of its size."""

    kind: str
    learning_rate: Rate = 0.001
    """Step length per unit of normalised gradient, before the schedule."""
    beta1: Fraction = 0.9
    """Decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """Decay of the mean of its square, per step."""
    epsilon: Rate = 1e-8
    """Added to the root of the corrected second moment."""

    @property
    def betas(self) -> tuple[float, float]:
        """Return both decays, as torch takes them."""
        return self.beta1, self.beta2


class Adam(Moments):
    """Adaptive moment estimation, after Kingma and Ba (2015), ICLR, algorithm 1."""

    kind: Literal["adam"] = "adam"

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adam as TorchAdam

        return TorchAdam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            fused=True,
        )


class Adamw(Moments):
    """Adam with decoupled weight decay, after Loshchilov and Hutter (2019), ICLR."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: Coefficient = 0.01
    """Share of each weight removed per step and unit of learning rate."""

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import AdamW

        return AdamW(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            fused=True,
        )


class Amsgrad(Moments):
    """Adam whose rates never grow again, after Reddi et al. (2018), ICLR, algorithm 2.

    The step is divided by the root of the largest second moment so far.
    """

    kind: Literal["amsgrad"] = "amsgrad"
    epsilon: Rate = 1e-8
    """Added to the root of the largest second moment."""
    slots: ClassVar[int] = 3

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adam as TorchAdam

        return TorchAdam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            amsgrad=True,
            fused=True,
        )


class Adamax(Moments):
    """Adam scaled by the largest gradient, after Kingma and Ba (2015), algorithm 2."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: Rate = 0.002
    """Step length per unit of normalised gradient, before the schedule."""
    beta2: Fraction = 0.999
    """Decay of the largest absolute gradient, per step."""
    epsilon: Rate = 1e-8
    """Added to the absolute gradient."""

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import Adamax as TorchAdamax

        return TorchAdamax(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
        )


class Nadam(Moments):
    """Adam with a Nesterov step, after Dozat (2016), algorithm 8."""

    kind: Literal["nadam"] = "nadam"

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import NAdam

        return NAdam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
        )


class Radam(Moments):
    """Adam that waits for its second moment, after Liu et al. (2020), ICLR.

    Until enough gradients have been seen to trust their mean square it takes steps of
    momentum: a warm-up without a length to choose.
    """

    kind: Literal["radam"] = "radam"
    epsilon: Rate = 1e-8
    """Added to the root of the second moment."""

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from torch.optim import RAdam

        return RAdam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
        )


class Lion(Rule):
    """Steps of one length by the sign of a mean, after Chen et al. (2023), algorithm 2.

    u = sign(β1 m + (1 - β1) g), m ← β2 m + (1 - β2) g, w ← w - η (u + λ w). One number
    is kept per parameter, half of Adam's. Every number moves by η at each step: the
    rate is a third to a tenth of Adam's.
    """

    kind: Literal["lion"] = "lion"
    learning_rate: Rate = 0.0001
    """Length of every step, before the schedule."""
    beta1: Fraction = 0.9
    """Share of the mean in the direction of the step."""
    beta2: Fraction = 0.99
    """Decay of the mean of the gradient, per step."""
    weight_decay: Coefficient = 0.0
    """Share of each weight removed per step and unit of learning rate, not of biases
    and normalisations; the paper uses 3 to 10 times that of AdamW."""
    slots: ClassVar[int] = 1
    by_role: ClassVar[bool] = True

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from trainer.rules.lion import Lion as Signs

        return Signs(
            parameters,
            self.learning_rate,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
        )
