"""Normalisations for any place of the features, and those that torch lacks.

`axis` is that of the features in one example: 0 of a vector or an image, 1 of a
sequence (steps, features).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, layer_norm

from trainer.modules.axes import on_features


class FeaturesLastBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of sequences (batch, steps, features), per feature."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return the outputs of a batch."""
        return on_features(super().forward, input, 1)


class LayerNorm(nn.Module):
    """Normalise the features of each position: of a vector, or of a step.

    Source: Ba et al. (2016), arXiv:1607.06450, equation 4.
    """

    def __init__(self, features: int, epsilon: float, axis: int, axes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.epsilon, self.last = epsilon, axis == axes - 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        if self.last:
            return self._normalised(x)
        return self._normalised(x.transpose(1, -1)).transpose(1, -1)

    def _normalised(self, x: Tensor) -> Tensor:
        return layer_norm(x, (len(self.weight),), self.weight, self.bias, self.epsilon)


class GroupNorm(nn.Module):
    """Normalise groups of channels of one example, over all its positions.

    Source: Wu and He (2018), ECCV, equation 7; with one group and images this is layer
    normalisation, with a group for each channel instance normalisation (section 3.1).
    """

    def __init__(self, groups: int, features: int, epsilon: float, axis: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.groups, self.epsilon, self.axis = groups, epsilon, axis

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        return on_features(self._normalised, x, self.axis)

    def _normalised(self, x: Tensor) -> Tensor:
        return group_norm(x, self.groups, self.weight, self.bias, self.epsilon)


class RmsNorm(nn.Module):
    """Divide by the root of the mean square, without centring.

    Source: Zhang and Sennrich (2019), NeurIPS, equation 4. `axes` are those of an
    example that the mean goes over.
    """

    def __init__(
        self, features: int, epsilon: float, axis: int, axes: tuple[int, ...], rank: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.epsilon = epsilon
        self.over = tuple(each + 1 for each in axes)
        self.spread = tuple(features if each == axis else 1 for each in range(rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        square = x.pow(2).mean(self.over, keepdim=True)
        return x * torch.rsqrt(square + self.epsilon) * self.weight.view(self.spread)
