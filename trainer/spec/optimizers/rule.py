"""What every optimizer says about itself; the optimizers are in ``__init__.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from trainer.spec.base import Spec

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.optimizer import ParamsT


class Rule(Spec):
    """A rule that turns gradients into steps."""

    slots: ClassVar[int] = 2
    """Numbers that it keeps for each parameter, for the estimate of memory."""
    full_batch: ClassVar[bool] = False
    """Whether every step is over all training rows, so that an epoch is one step."""
    by_role: ClassVar[bool] = False
    """Whether ``build`` is given a group of its own for each role that parameters
    have: ``hidden`` (a matrix of weights of a hidden layer), ``weight`` (any other
    weights) and ``vector`` (biases, and the vectors of a normalisation). A group says
    its role under ``role``; a parameter without one is judged by its shape."""

    def filled(self, *, hidden: bool) -> Self:
        """Return the rule with what depends on the network filled in.

        `hidden` says whether it has hidden layers.
        """
        return self

    def build(self, parameters: ParamsT) -> TorchOptimizer:
        """Return the optimizer over `parameters`: tensors, or groups of them."""
        raise NotImplementedError
