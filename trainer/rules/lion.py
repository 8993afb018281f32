"""Lion: every number moves by one length, along the sign of a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from trainer.rules.learners import learners

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

MEAN = "mean"
"""What is remembered: the decayed mean of the gradient."""


class Lion(Optimizer):
    """u = sign(β1 m + (1 - β1) g), m ← β2 m + (1 - β2) g, w ← w - η (u + λ w).

    A group whose role is ``vector`` decays nothing. Source: Chen et al. (2023),
    Symbolic discovery of optimization algorithms, algorithm 2.
    """

    def __init__(
        self,
        parameters: ParamsT,
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        self.weight_decay = weight_decay
        super().__init__(parameters, {"lr": learning_rate, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            learning = learners(self, group)
            if not learning.parameters:
                continue
            for parameter, memory in zip(
                learning.parameters, learning.memories, strict=True
            ):
                if not memory:
                    memory[MEAN] = torch.zeros_like(parameter)
            rate, (beta1, beta2) = group["lr"], group["betas"]
            means, gradients = learning.remembered(MEAN), learning.gradients
            directions = torch._foreach_mul(means, beta1)
            torch._foreach_add_(directions, gradients, alpha=1 - beta1)
            torch._foreach_sign_(directions)
            torch._foreach_mul_(means, beta2)
            torch._foreach_add_(means, gradients, alpha=1 - beta2)
            if self.weight_decay and group.get("role") != "vector":
                torch._foreach_mul_(learning.parameters, 1 - rate * self.weight_decay)
            torch._foreach_add_(learning.parameters, directions, alpha=-rate)
