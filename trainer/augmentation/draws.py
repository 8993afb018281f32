"""What is drawn for each row of a batch, by the generator of the batch's device."""

import torch
from torch import Tensor


def happens(x: Tensor, probability: float) -> Tensor:
    """Return for each row whether something of that probability happens: (batch,)."""
    return torch.rand(len(x), device=x.device) < probability


def between(x: Tensor, low: float, high: float) -> Tensor:
    """Return a number between two for each row: (batch,)."""
    return torch.rand(len(x), device=x.device) * (high - low) + low


def whole(x: Tensor, most: int) -> Tensor:
    """Return a whole number from -`most` to `most` for each row: (batch,)."""
    return torch.randint(-most, most + 1, (len(x),), device=x.device)
