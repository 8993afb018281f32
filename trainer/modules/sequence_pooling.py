"""Pooling over the steps of a sequence, with TensorFlow's idea of ``same``.

Steps that are padding take no part; where nothing else is in a window it gives 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, max_pool1d

from trainer.modules.masking import first_of, lengths, only_real
from trainer.modules.padding import Border

if TYPE_CHECKING:
    from trainer.modules.masking import Masks

LOWEST = float("-inf")


class _Pool1d(nn.Module):
    """A window slid over the steps of each feature.

    Shapes:
        input (batch, steps, features); output (batch, fewer steps, features).
    """

    def __init__(self, steps: int, size: int, stride: int, *, same: bool) -> None:
        """Work out the border of a sequence of so many steps."""
        super().__init__()
        self.size, self.stride = size, stride
        border = Border((steps,), (size,), (stride,), (1,)) if same else None
        self.border = border if border and any(border.amounts) else None

    def bordered(self, x: Tensor, value: float) -> Tensor:
        """Return x as (batch, features, steps) with what lies beyond its ends."""
        turned = x.transpose(1, 2)
        return turned if self.border is None else self.border.add(turned, value)


class MaxPool1d(_Pool1d):
    """Keep the largest value of each window."""

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the largest real values."""
        real = first_of(masks)
        x = self.bordered(only_real(x, real, LOWEST), LOWEST)
        largest = max_pool1d(x, self.size, self.stride).transpose(1, 2)
        if real is None:
            return largest
        return largest.masked_fill(largest <= LOWEST, 0.0)


class AveragePool1d(_Pool1d):
    """Keep the mean of each window, over the steps that are there."""

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the means."""
        real = first_of(masks)
        if real is None and self.border is None:
            return avg_pool1d(x.transpose(1, 2), self.size, self.stride).transpose(1, 2)
        there = x.new_ones(1, x.shape[1], 1)
        if real is not None:
            there = real.unsqueeze(-1).to(x.dtype)
        summed = self._pooled(only_real(x, real))
        counted = self._pooled(there)
        return summed / counted.clamp(min=1 / (2 * self.size))

    def _pooled(self, x: Tensor) -> Tensor:
        """Return sums over each window, divided by its size."""
        padded = self.bordered(x, 0.0)
        return avg_pool1d(padded, self.size, self.stride).transpose(1, 2)


class GlobalMaxPool1d(nn.Module):
    """Keep the largest value of each feature."""

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return (batch, features)."""
        real = first_of(masks)
        largest = only_real(x, real, LOWEST).amax(dim=1)
        if real is None:
            return largest
        return largest.masked_fill(largest <= LOWEST, 0.0)


class GlobalAveragePool1d(nn.Module):
    """Keep the mean of each feature."""

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return (batch, features)."""
        real = first_of(masks)
        if real is None:
            return x.mean(dim=1)
        return only_real(x, real).sum(dim=1) / lengths(real).to(x.dtype)
