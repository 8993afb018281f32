"""Activations that draw, learn or change the width.

`axis` is that of the features in one example: 0 of a vector or an image.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, prelu, rrelu

from trainer.modules.axes import on_features


class RandomisedLeakyRelu(nn.Module):
    """Leak at a random slope while training, at the mean slope otherwise.

    Source: Xu et al. (2015), arXiv:1505.00853, section 2.4. Slopes are drawn from
    torch's generator of the device, whose state is in every checkpoint.
    """

    def __init__(self, lower: float, upper: float) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        if not self.training:
            return leaky_relu(x, (self.lower + self.upper) / 2)
        return rrelu(x, self.lower, self.upper, training=True)


class Prelu(nn.Module):
    """Leak at a learned slope for each channel, or at one for all.

    Source: He et al. (2015), ICCV, equation 1.
    """

    def __init__(self, size: int, initial: float, axis: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), initial))
        self.axis = axis if size > 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        return on_features(lambda z: prelu(z, self.weight), x, self.axis)


class Maxout(nn.Module):
    """Keep the largest of each run of `pieces` features.

    Source: Goodfellow et al. (2013), ICML, section 3.

    Shapes:
        input (batch, …, features x pieces, …); output (batch, …, features, …).
    """

    def __init__(self, pieces: int, axis: int) -> None:
        super().__init__()
        self.pieces, self.axis = pieces, axis

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        axis = self.axis + 1
        sizes = (*x.shape[:axis], -1, self.pieces, *x.shape[axis + 1 :])
        return x.reshape(sizes).amax(axis + 1)
