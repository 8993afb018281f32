"""Optimizers whose step depends on a layer's weights as a whole.

They are named in the union in ``__init__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Fraction, Rate
from trainer.spec.optimizers.rule import Rule

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.optimizer import ParamsT


class Lamb(Rule):
    """Adam in proportion to each layer's weights, after You et al. (2020), ICLR.

    Algorithm 2: with Adam's r = m̂ / (√v̂ + ε), w ← w - η φ (r + λ w), where
    φ = ‖w‖ / ‖r + λ w‖ over one tensor. It keeps very large batches stable. Biases and
    the vectors of a normalisation take Adam's step: φ = 1, λ = 0.
    """

    kind: Literal["lamb"] = "lamb"
    learning_rate: Rate = 0.001
    """Step length relative to the weights' norm, before the schedule."""
    beta1: Fraction = 0.9
    """Decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """Decay of the mean of its square, per step."""
    epsilon: Rate = 1e-6
    """Added to the root of the corrected second moment."""
    weight_decay: Coefficient = 0.01
    """Share of each weight in the direction of the step: the λ above."""
    slots: ClassVar[int] = 2
    by_role: ClassVar[bool] = True

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from trainer.rules.lamb import Lamb as Trusted

        return Trusted(
            parameters,
            self.learning_rate,
            betas=(self.beta1, self.beta2),
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )


class Muon(Rule):
    """Nesterov's step made orthogonal, after Jordan et al. (2024).

    For matrices of weights of hidden layers: m ← β m + (1 - β) g, and the step is the
    nearest orthogonal matrix to (1 - β) g + β m, found by a Newton-Schulz iteration,
    times 0.2 √max(rows, columns), after Liu et al. (2025), Moonlight, equation 4: so
    it is as large as a step of AdamW and one learning rate serves both. All other
    parameters (the output layer, embeddings, convolutions, biases, normalisations) take
    AdamW's steps.
    """

    kind: Literal["muon"] = "muon"
    learning_rate: Rate = 0.001
    """Step length, that of AdamW, before the schedule."""
    momentum: Fraction = 0.95
    """Decay of the mean of a hidden matrix's gradient, per step."""
    iterations: Annotated[int, Field(ge=1, le=20)] = 5
    """Rounds of the Newton-Schulz iteration."""
    beta1: Fraction = 0.9
    """AdamW's decay of the mean of the gradient, per step."""
    beta2: Fraction = 0.999
    """AdamW's decay of the mean of its square, per step."""
    epsilon: Rate = 1e-8
    """Added to AdamW's root."""
    weight_decay: Coefficient = 0.01
    """Share of each weight removed per step and unit of learning rate, not of biases
    and normalisations."""
    slots: ClassVar[int] = 2
    by_role: ClassVar[bool] = True

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`."""
        from trainer.rules.muon import Muon as Orthogonal

        return Orthogonal(
            parameters,
            self.learning_rate,
            momentum=self.momentum,
            iterations=self.iterations,
            betas=(self.beta1, self.beta2),
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )
