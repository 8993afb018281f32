"""Pooling with TensorFlow's idea of ``same``."""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from trainer.modules.padding import Border

Pair = tuple[int, int]


class _Pool2d(nn.Module):
    """A window slid over each channel of an image."""

    def __init__(
        self, shape: tuple[int, ...], size: Pair, stride: Pair, *, same: bool
    ) -> None:
        """Work out the border for images of `shape` (channels, height, width)."""
        super().__init__()
        self.size, self.stride = size, stride
        sizes = (shape[1], shape[2])
        self.border = Border(sizes, size, stride, (1, 1)) if same else None


class MaxPool2d(_Pool2d):
    """Keep the largest value of each window."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height, width), smaller."""
        if self.border is not None:
            x = self.border.add(x, float("-inf"))
        return max_pool2d(x, self.size, self.stride)


class AveragePool2d(_Pool2d):
    """Keep the mean of each window, the border's zeros not counted."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height, width), smaller."""
        if self.border is None or not any(self.border.amounts):
            return avg_pool2d(x, self.size, self.stride)
        inside = self.border.add(x.new_ones(1, 1, *x.shape[2:]), 0.0)
        counted = avg_pool2d(inside, self.size, self.stride)
        return avg_pool2d(self.border.add(x, 0.0), self.size, self.stride) / counted


class GlobalAveragePool2d(nn.Module):
    """Keep the mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels)."""
        return x.mean(dim=(2, 3))


class GlobalMaxPool2d(nn.Module):
    """Keep the largest value of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels)."""
        return x.amax(dim=(2, 3))
