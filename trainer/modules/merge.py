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


class Concatenate(nn.Module):
    """Put inputs behind each other along features or channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the inputs joined along axis 1."""
        return torch.cat(inputs, dim=1)
