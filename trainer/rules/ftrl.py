"""FTRL-proximal: the weights are always the solution of a small problem of their own.

After t steps w minimises g₁:ₜ·w + ½ Σ σₛ |w - wₛ|² + l1 |w| + l2 w², where the sum of
the σ up to t is 1 / ηₜ, the inverse of the learning rate of that weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.rules.learners import learners

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim.optimizer import ParamsT

    from trainer.rules.learners import Learners

ACCUMULATOR, LINEAR, RATE = "accumulator", "linear", "rate"
"""What is remembered: the sum n of g², the linear term z, and the α of the last step
(0 before the first if the initial weights are a centre like any other)."""


class Ftrl(Optimizer):
    """Per weight, with the learning rate α and the power p.

    1 / η = (β + n^-p) / α; σ = 1 / η' - 1 / η; z ← z + g - σ w; then w = 0 where
    |z| ≤ l1, else w = (sign(z) l1 - z) / (1 / η' + 2 l2). With a constant α this is
    TensorFlow's ``Ftrl``; where a schedule changes it the sum of the σ stays 1 / η, as
    the definition wants. A rate of 0 takes no step. In a group whose role is ``vector``
    l1, l2 and β are 0. Source: McMahan et al. (2013), Ad click prediction: a view from
    the trenches, section 3.1 and algorithm 1.
    """

    def __init__(
        self,
        parameters: ParamsT,
        learning_rate: float,
        *,
        power: float = -0.5,
        initial_accumulator: float = 0.1,
        l1: float = 0.0,
        l2: float = 0.0,
        beta: float = 0.0,
        keep_initial_weights: bool = False,
    ) -> None:
        self.power, self.initial_accumulator = power, initial_accumulator
        self.l1, self.l2, self.beta = l1, l2, beta
        self.keep_initial_weights = keep_initial_weights
        super().__init__(parameters, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            learning = learners(self, group)
            if learning.parameters and group["lr"]:
                self._step(group, learning)

    def _step(self, group: dict[str, Any], learning: Learners) -> None:
        vector = group.get("role") == "vector"
        l1, l2, beta = (0.0, 0.0, 0.0) if vector else (self.l1, self.l2, self.beta)
        rate = group["lr"]
        self._begin(learning, rate)
        weights, sums = learning.parameters, learning.remembered(ACCUMULATOR)
        linear = learning.remembered(LINEAR)
        before = [1 / m[RATE] if m[RATE] else 0.0 for m in learning.memories]
        now = [1 / rate] * len(before)
        old = torch._foreach_pow(sums, -self.power)
        torch._foreach_addcmul_(sums, learning.gradients, learning.gradients)
        new = torch._foreach_pow(sums, -self.power)
        # z += g - σ w, where σ = (β + new) / α' - (β + old) / α
        torch._foreach_add_(linear, learning.gradients)
        torch._foreach_addcmul_(linear, old, weights, before)
        torch._foreach_addcmul_(linear, new, weights, [-one for one in now])
        if beta and before != now:
            moved = [beta * (a - b) for a, b in zip(before, now, strict=True)]
            torch._foreach_add_(linear, torch._foreach_mul(weights, moved))
        torch._foreach_mul_(new, now)
        torch._foreach_add_(new, beta / rate + 2 * l2)
        divides_by_0 = not (l2 or beta or self.initial_accumulator)
        kept = [weight.clone() for weight in weights] if divides_by_0 else []
        _solve(weights, linear, list(new), l1)
        for weight, start, inverse in zip(weights, kept, new, strict=False):
            # what never had a gradient has the solution 0 / 0
            start.mul_(bool(self.keep_initial_weights))
            weight.copy_(torch.where(inverse == 0, start, weight))
        for memory in learning.memories:
            memory[RATE] = rate

    def _begin(self, learning: Learners, rate: float) -> None:
        """Make the memory of parameters that have none yet."""
        for parameter, memory in zip(
            learning.parameters, learning.memories, strict=True
        ):
            if not memory:
                start = self.initial_accumulator
                memory[ACCUMULATOR] = torch.full_like(parameter, start)
                memory[LINEAR] = torch.zeros_like(parameter)
                memory[RATE] = 0.0 if self.keep_initial_weights else rate


def _solve(
    weights: list[Tensor], linear: list[Tensor], inverses: list[Tensor], l1: float
) -> None:
    """Write (sign(z) l1 - z) / inverse, or 0 where |z| ≤ l1, into the weights."""
    torch._foreach_copy_(weights, linear)
    if l1:
        torch._foreach_clamp_max_(weights, l1)
        torch._foreach_clamp_min_(weights, -l1)
        torch._foreach_sub_(weights, linear)
    else:
        torch._foreach_neg_(weights)
    torch._foreach_div_(weights, inverses)
