"""The direction of Adam's step, for the rules that scale it or add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.rules.learners import Learners

MEAN, SQUARE, STEP = "mean", "square", "step"
"""What is remembered: decayed means of g and of g², and how many were seen."""


def adam_direction(
    learning: Learners, betas: tuple[float, float], epsilon: float
) -> list[Tensor]:
    """Return m̂ / (√v̂ + ε) for each parameter, having taken note of its gradient.

    Source: Kingma and Ba (2015), algorithm 1.
    """
    for parameter, memory in zip(learning.parameters, learning.memories, strict=True):
        if not memory:
            memory[MEAN] = torch.zeros_like(parameter)
            memory[SQUARE] = torch.zeros_like(parameter)
            memory[STEP] = 0
        memory[STEP] += 1
    means, squares = learning.remembered(MEAN), learning.remembered(SQUARE)
    gradients, (beta1, beta2) = learning.gradients, betas
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
    steps = [memory[STEP] for memory in learning.memories]
    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, [(1 - beta2**step) ** 0.5 for step in steps])
    torch._foreach_add_(roots, epsilon)
    directions = torch._foreach_div(means, roots)
    torch._foreach_div_(directions, [1 - beta1**step for step in steps])
    return list(directions)
