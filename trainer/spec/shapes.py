"""Shapes of what flows through a network, and what is said when they do not fit."""

from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]
"""Shape of one example: (features,) or, channels first, (channels, height, width)."""


@dataclass(frozen=True)
class TensorShape:
    """One tensor of a layer: its shape, its type and whether training changes it."""

    shape: Shape
    learns: bool = True
    dtype: str = "float32"

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
    if padding == "same":
        return -(-size // stride)
    return (size - reach) // stride + 1
