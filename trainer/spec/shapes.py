"""Shapes of what flows through a network, and what is said when they do not fit."""

from dataclasses import dataclass
from math import prod
from typing import Literal

Shape = tuple[int, ...]
"""Shape of one example: (features,), a sequence (steps, features) or, channels first,
an image (channels, height, width)."""

Role = Literal["weight", "bias", "other"]
"""What a tensor is to its layer. ``weight``: penalties, limits, decay and pruning are
for these alone. ``bias``: starts from the bias initialiser. ``other``: vectors of a
normalisation, learned slopes, counters; they keep the values their module gave them."""


@dataclass(frozen=True)
class TensorShape:
    """One tensor of a layer: its shape, its type, its role, whether it learns.

    A new tensor is ``other`` unless its layer says that it is a weight or a bias, so
    nothing is penalised by its number of axes.
    """

    shape: Shape
    learns: bool = True
    dtype: str = "float32"
    fans: tuple[int, int] | None = None
    """(fan_in, fan_out) for the initialisers, where `initializers.fans` would misread
    the shape: a transposed convolution, the stacked gates of a recurrent layer."""
    role: Role = "other"
    unit_axis: int = 0
    """Of a weight: the axis that counts its units. What one unit is given, and what
    ``max_norm`` bounds, is the slice at one position of that axis."""
    stacked: int = 1
    """How many equal parts lie one behind the other along the first axis: the gates of
    a recurrent layer, each of which is adapted by itself where units differ."""

    @property
    def elements(self) -> int:
        """Return how many numbers it holds."""
        return prod(self.shape)


class Impossible(Exception):
    """A layer cannot take what it is given.

    `field` is the layer's field to change, if one stands out.
    """

    def __init__(self, detail: str, *, field: str = "", suggestion: str = "") -> None:
        """Keep the sentence, the field it is about and what to write instead."""
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.suggestion = suggestion


def window(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Return the output length of a sliding window over `size` positions."""
    reach = (kernel - 1) * dilation + 1
    if padding != "valid":
        return -(-size // stride)
    return (size - reach) // stride + 1
