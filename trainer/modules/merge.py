"""Layers that take several inputs."""

import torch
from torch import Tensor, nn


class Add(nn.Module):
    """Sum inputs of equal shape."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the sum."""
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


class Multiply(nn.Module):
    """Multiply inputs of equal shape, number by number."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the product."""
        product = inputs[0]
        for x in inputs[1:]:
            product = product * x
        return product


class Average(Add):
    """Return the mean of inputs of equal shape."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the sum over the number of inputs."""
        return super().forward(*inputs) / len(inputs)


class Maximum(nn.Module):
    """Keep the largest of inputs of equal shape, number by number."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the maximum."""
        largest = inputs[0]
        for x in inputs[1:]:
            largest = torch.maximum(largest, x)
        return largest


class Concatenate(nn.Module):
    """Put inputs behind each other along one axis."""

    def __init__(self, axis: int = 1) -> None:
        """Join along `axis` of the batch: 1 is the first axis of an example."""
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the inputs joined."""
        return torch.cat(inputs, dim=self.axis)
