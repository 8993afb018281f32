"""LAMB: Adam's direction, as long as the layer's weights allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from trainer.rules.adam_direction import adam_direction
from trainer.rules.learners import learners

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim.optimizer import ParamsT


class Lamb(Optimizer):
    """w ← w - η φ (r + λ w), with Adam's direction r and φ = ‖w‖ / ‖r + λ w‖.

    φ is 1 where one of the norms is 0, and in a group whose role is ``vector``, where
    also λ is 0. Source: You et al. (2020), Large batch optimization for deep learning,
    algorithm 2; the exemption of biases and normalisations is the authors' program's.
    """

    def __init__(
        self,
        parameters: ParamsT,
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        self.epsilon, self.weight_decay = epsilon, weight_decay
        super().__init__(parameters, {"lr": learning_rate, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            learning = learners(self, group)
            if not learning.parameters:
                continue
            steps = adam_direction(learning, group["betas"], self.epsilon)
            if group.get("role") != "vector":
                torch._foreach_add_(steps, learning.parameters, alpha=self.weight_decay)
                torch._foreach_mul_(steps, _ratios(learning.parameters, steps))
            torch._foreach_add_(learning.parameters, steps, alpha=-group["lr"])


def _ratios(weights: list[Tensor], steps: list[Tensor]) -> list[Tensor]:
    """Return each weight's norm over its step's; 1 where one of them is 0."""
    own = torch.stack(torch._foreach_norm(weights))
    stepped = torch.stack(torch._foreach_norm(steps))
    whole = (own > 0) & (stepped > 0)
    return list(torch.where(whole, own / stepped, torch.ones_like(own)).unbind())
