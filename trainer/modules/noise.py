"""Disturbances that torch has no module for; all draw from the device's generator.

What drops is a kind of torch's own dropout, so whatever looks for dropout finds it.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.modules.dropout import _DropoutNd


class FeatureDropout(_DropoutNd):
    """Set a feature to 0 in all steps of a sequence, scale the others."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (batch, steps, features), disturbed while training."""
        if not self.training or not self.p:
            return x
        ones = x.new_ones(x.shape[0], 1, x.shape[2])
        return x * dropout(ones, self.p, training=True)


class GaussianNoise(nn.Module):
    """Add normal draws while training."""

    def __init__(self, deviation: float) -> None:
        """Keep the standard deviation of the draws."""
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Return x, disturbed while training."""
        return x + self.deviation * torch.randn_like(x) if self.training else x


class GaussianDropout(_DropoutNd):
    """Multiply by normal draws of mean 1 while training."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x, disturbed while training."""
        if not self.training:
            return x
        deviation = sqrt(self.p / (1 - self.p))
        return x * (1 + deviation * torch.randn_like(x))
