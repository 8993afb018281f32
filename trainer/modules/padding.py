"""Zeros round an image so that a window's outputs are as many as asked for."""

from torch import Tensor
from torch.nn.functional import pad


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the positions to add (before, after) so that ceil(size / stride) come out.

    The odd position is added after, as TensorFlow does.
    """
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


class Border:
    """Decide once, by shape, what must be added to an image before its window."""

    def __init__(
        self,
        sizes: tuple[int, int],
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
    ) -> None:
        """Work out the border of images with these sizes (height, width)."""
        (top, bottom), (left, right) = (
            same_padding(*each)
            for each in zip(sizes, kernel, stride, dilation, strict=True)
        )
        self.even = (top, left) if (top, left) == (bottom, right) else None
        """The border as a convolution's own padding, where it is symmetric."""
        self.amounts = (left, right, top, bottom)

    def add(self, x: Tensor, value: float) -> Tensor:
        """Return x (batch, channels, height, width) with the border round it."""
        return pad(x, self.amounts, value=value) if any(self.amounts) else x
