"""Dropout that never sleeps, for predictions that are drawn: one per kind of dropout.

Each computes in evaluation what its kind computes in training, from one operator that a
graph can hold: `native_dropout`.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.modules.noise import FeatureDropout, GaussianDropout

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST = 1.7580993408473766
"""How far below 0 SELU goes, its scale times alpha, after Klambauer et al. (2017)."""


class Sampled(nn.Module):
    """A dropout that draws whenever it is asked."""

    def __init__(self, rate: float) -> None:
        """Keep the share that is dropped."""
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some numbers 0 and the others scaled by 1 / (1 - rate)."""
        return _dropped(x, self.rate)


class SampledChannels(Sampled):
    """Drop whole channels of images (batch, channels, height, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some channels 0, the others scaled."""
        return x * _dropped(_ones(x.mean((2, 3), keepdim=True)), self.rate)


class SampledFeatures(Sampled):
    """Drop whole features of sequences (batch, steps, features)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some features 0 in all steps, the others scaled."""
        return x * _dropped(_ones(x.mean((1,), keepdim=True)), self.rate)


class SampledAlpha(Sampled):
    """Drop to SELU's lowest value and keep mean and variance."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some numbers lowest, all scaled and shifted."""
        kept = _dropped(_ones(x), self.rate) * (1 - self.rate)  # 1 or 0
        scale = 1 / sqrt((1 - self.rate) * (1 + self.rate * LOWEST**2))
        lowered = (x + LOWEST) * kept  # x - lowest, or 0
        return (lowered + (LOWEST * self.rate - LOWEST)) * scale


class SampledGaussian(Sampled):
    """Multiply by normal draws of mean 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x times draws from N(1, rate / (1 - rate))."""
        deviation = sqrt(self.rate / (1 - self.rate))
        return x * (torch.randn_like(x) * deviation + 1.0)


SAMPLED: dict[type[nn.Module], Callable[[float], Sampled]] = {
    nn.Dropout: Sampled,
    nn.Dropout2d: SampledChannels,
    FeatureDropout: SampledFeatures,
    nn.AlphaDropout: SampledAlpha,
    GaussianDropout: SampledGaussian,
}
"""What stands for each kind of dropout."""


def sampled(network: nn.Module) -> int:
    """Let every dropout of a network draw for good; return how many there are."""
    count = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            stand_in = SAMPLED.get(type(child))
            rate = float(getattr(child, "p", 0.0))
            if stand_in is not None and rate:
                setattr(parent, name, stand_in(rate))
                count += 1
    return count


def _dropped(x: Tensor, rate: float) -> Tensor:
    return torch.native_dropout(x, rate, train=True)[0]


def _ones(x: Tensor) -> Tensor:
    """Return ones of the shape that x will have, whatever the batch."""
    return x * 0.0 + 1.0
