"""Muon: Nesterov's step with its singular values made alike; AdamW for the rest."""

from __future__ import annotations

from itertools import compress
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.rules.adam_direction import MEAN, adam_direction
from trainer.rules.learners import Learners, learners

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim.optimizer import ParamsT

MATRIX = 2
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration: the steepest at 0 that stays bounded, after Jordan."""
SMALLEST_NORM = 1e-7
RATIO = 0.2
"""Root mean square of AdamW's usual steps, which Muon's are scaled to."""


class Muon(Optimizer):
    """m ← β m + (1 - β) g; w ← w (1 - η λ) - η 0.2 √max(rows, columns) NS(…).

    NS is the Newton-Schulz iteration on (1 - β) g + β m. It is for groups whose role is
    ``hidden``, or the matrices of a group without a role; all other parameters take
    AdamW's steps, without λ in a group whose role is ``vector``. Sources: Jordan et al.
    (2024), Muon: an optimizer for hidden layers in neural networks; Liu et al. (2025),
    Muon is scalable for LLM training, equation 4, for the scale.
    """

    def __init__(
        self,
        parameters: ParamsT,
        learning_rate: float,
        *,
        momentum: float = 0.95,
        iterations: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.iterations, self.epsilon = iterations, epsilon
        self.weight_decay = weight_decay
        defaults = {"lr": learning_rate, "momentum": momentum, "betas": betas}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            whole = learners(self, group)
            hidden = [_orthogonal(p, group) for p in whole.parameters]
            matrices = _chosen(whole, hidden)
            if matrices.parameters:
                self._matrices(group, matrices)
            rest = _chosen(whole, [not one for one in hidden])
            if rest.parameters:
                self._rest(group, rest)

    def _matrices(self, group: dict[str, Any], learning: Learners) -> None:
        for parameter, memory in zip(
            learning.parameters, learning.memories, strict=True
        ):
            if not memory:
                memory[MEAN] = torch.zeros_like(parameter)
        means, gradients = learning.remembered(MEAN), learning.gradients
        rate, keep = group["lr"], group["momentum"]
        torch._foreach_lerp_(means, gradients, 1 - keep)
        ahead = torch._foreach_lerp(gradients, means, keep)
        self._decay(rate, learning)
        for weight, step in zip(learning.parameters, ahead, strict=True):
            scale = RATIO * sqrt(max(weight.shape))
            weight.sub_(orthogonal(step, self.iterations), alpha=rate * scale)

    def _rest(self, group: dict[str, Any], learning: Learners) -> None:
        steps = adam_direction(learning, group["betas"], self.epsilon)
        if group.get("role") != "vector":
            self._decay(group["lr"], learning)
        torch._foreach_add_(learning.parameters, steps, alpha=-group["lr"])

    def _decay(self, rate: float, learning: Learners) -> None:
        if self.weight_decay:
            torch._foreach_mul_(learning.parameters, 1 - rate * self.weight_decay)


def orthogonal(matrix: Tensor, iterations: int) -> Tensor:
    """Return about U Vᵀ for a matrix U S Vᵀ: its singular values come close to 1.

    x ← a x + b (x xᵀ) x + c (x xᵀ)² x, from the matrix divided by its norm; the wider
    side is kept out of the products. On a GPU it is computed in bfloat16, as by its
    authors, elsewhere in the matrix's own precision.
    """
    a, b, c = QUINTIC
    x = matrix.bfloat16() if matrix.is_cuda else matrix.clone()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=SMALLEST_NORM)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


def _orthogonal(parameter: Tensor, group: dict[str, Any]) -> bool:
    role = group.get("role")
    return role == "hidden" or (role is None and parameter.ndim == MATRIX)


def _chosen(learning: Learners, wanted: list[bool]) -> Learners:
    """Return some of the parameters with what belongs to them."""
    return Learners(
        list(compress(learning.parameters, wanted)),
        list(compress(learning.gradients, wanted)),
        list(compress(learning.memories, wanted)),
    )
