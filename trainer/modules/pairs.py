"""Pairs of examples: one of them, the same layer for both, how far apart they are."""

from typing import Any

import torch
from torch import Tensor, nn


class Select(nn.Module):
    """Take one part of each example.

    Shapes:
        input (batch, parts, *shape); output (batch, *shape).
    """

    def __init__(self, index: int) -> None:
        """Keep which part is taken, from 0."""
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Return that part of every example."""
        return x.select(1, self.index)


class Shared(nn.Module):
    """Apply another layer; it has nothing of its own."""

    def forward(self, x: Tensor, *, lender: nn.Module, **words: Any) -> Tensor:
        """Return what `lender` makes of the input."""
        outputs: Tensor = lender(x, **words)
        return outputs


class AbsoluteDifference(nn.Module):
    """Return |a - b| of two inputs of equal shape."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the differences without their signs."""
        return (a - b).abs()


class EuclideanDistance(nn.Module):
    """Return the distance of two inputs.

    Shapes:
        inputs (batch, *shape); output (batch, 1).
    """

    def __init__(self, epsilon: float) -> None:
        """Keep what is added under the root."""
        super().__init__()
        self.epsilon = epsilon

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the root of the summed squares."""
        apart = (a - b).flatten(1)
        return ((apart * apart).sum(dim=1, keepdim=True) + self.epsilon).sqrt()


class CosineDistance(nn.Module):
    """Return 1 less the cosine of the angle between two inputs.

    Shapes:
        inputs (batch, *shape); output (batch, 1).
    """

    def __init__(self, epsilon: float) -> None:
        """Keep what is added to the squared lengths."""
        super().__init__()
        self.epsilon = epsilon

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance, 0 to 2."""
        a, b = a.flatten(1), b.flatten(1)

        def product(one: Tensor, other: Tensor) -> Tensor:
            return (one * other).sum(dim=1, keepdim=True)

        lengths = (product(a, a) + self.epsilon) * (product(b, b) + self.epsilon)
        return -(product(a, b) / lengths.sqrt()) + 1.0


class DistanceThreshold(nn.Module):
    """Return (D, 2 t - D) of a distance D: the evidence for "different" and "same".

    Shapes:
        input (batch, 1); output (batch, 2).
    """

    def __init__(self, threshold: float) -> None:
        """Keep the distance t at which both are equal."""
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return both numbers side by side."""
        return torch.cat([x, -x + 2 * self.threshold], dim=1)
