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


class TiedDense(Tailed):
    """Multiply by another layer's weights turned round, add a bias, apply the tail.

    The matrix is that layer's parameter and is read at each call, so gradients add up
    there and nothing is held twice.

    Shapes:
        input (batch, *any) with as many numbers per example as the other layer has
        units; output (batch, features) with as many as that takes.
    """

    def __init__(self, features: int, *, bias: bool, tail: Tail) -> None:
        """Make the bias; the network fills it by its initialiser."""
        super().__init__()
        self.bias = nn.Parameter(torch.empty(features)) if bias else None
        self.attach(tail)

    def forward(self, x: Tensor, *, lender: Dense) -> Tensor:
        """Return the outputs of a batch, by the weights of `lender`."""
        sums = x.flatten(1) @ lender.weight
        return self.follow(sums if self.bias is None else sums + self.bias)
