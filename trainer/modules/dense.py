"""A fully connected layer with its tail."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from trainer.modules.tail import Tail, Tailed


class Dense(Tailed):
    """Multiply by a weight matrix, add the bias, apply the tail.

    Shapes:
        input (batch, *any) with `features` numbers per example; output (batch, units).
    """

    def __init__(self, features: int, units: int, *, bias: bool, tail: Tail) -> None:
        """Make the tensors; the network fills them by its initialisers."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, features))
        self.bias = nn.Parameter(torch.empty(units)) if bias else None
        self.attach(tail)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        return self.follow(linear(x.flatten(1), self.weight, self.bias))
