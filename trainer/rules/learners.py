"""What the rules share: the parameters of a group that have a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


class Learners(NamedTuple):
    """Parameters, their gradients and what is remembered of each, side by side."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    memories: list[dict[str, Any]]

    def remembered(self, name: str) -> list[Tensor]:
        """Return one tensor of each parameter's memory."""
        return [memory[name] for memory in self.memories]


def learners(optimizer: Optimizer, group: dict[str, Any]) -> Learners:
    """Return what a step over a group has to do with."""
    parameters = [p for p in group["params"] if p.grad is not None]
    return Learners(
        parameters,
        [p.grad for p in parameters],
        [optimizer.state[p] for p in parameters],
    )
