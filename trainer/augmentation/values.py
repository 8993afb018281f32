"""Change values where they are: brightness, contrast, noise."""

import torch
from torch import Tensor

Limits = tuple[float, float] | None
"""Smallest and largest value that there can be."""


def brightened(x: Tensor, amounts: Tensor, limits: Limits) -> Tensor:
    """Return images with an amount (batch,) added to all their values."""
    return _within(x + amounts[:, None, None, None], limits)


def contrasted(x: Tensor, factors: Tensor, limits: Limits) -> Tensor:
    """Return images whose distance from each channel's mean is multiplied (batch,)."""
    mean = x.mean((2, 3), keepdim=True)
    return _within(torch.lerp(mean, x, factors[:, None, None, None]), limits)


def noised(x: Tensor, deviation: float, where: Tensor | None, limits: Limits) -> Tensor:
    """Return the batch plus normal noise, `where` 1 and not 0 (features,)."""
    noise = torch.randn_like(x) * deviation
    if where is not None:
        noise *= where
    return _within(x + noise, limits)


def _within(x: Tensor, limits: Limits) -> Tensor:
    return x if limits is None else x.clamp_(*limits)
