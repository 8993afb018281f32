"""A convolution with its tail."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from trainer.modules.padding import Border
from trainer.modules.tail import Tail, Tailed

Pair = tuple[int, int]


class Conv2d(Tailed):
    """Convolve, add the bias, apply the tail.

    Shapes:
        input (batch, channels, height, width); output (batch, filters, …, …).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        filters: int,
        *,
        kernel: Pair,
        stride: Pair,
        same: bool,
        dilation: Pair = (1, 1),
        groups: int = 1,
        bias: bool,
        tail: Tail,
    ) -> None:
        """Make the tensors for images of `shape` (channels, height, width)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(filters, shape[0] // groups, *kernel))
        self.bias = nn.Parameter(torch.empty(filters)) if bias else None
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.border = None
        self.padding: tuple[int, ...] = (0, 0)
        if same:
            border = Border((shape[1], shape[2]), kernel, stride, dilation)
            self.padding = border.even or (0, 0)
            self.border = None if border.even else border
        self.attach(tail)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        if self.border is not None:
            x = self.border.add(x, 0.0)
        sums = conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        return self.follow(sums)
