"""A filter for each channel, then a mixture of the channels at each position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d

from trainer.modules.masking import first_of, only_real
from trainer.modules.tail import Tail, Tailed

if TYPE_CHECKING:
    from trainer.modules.masking import Masks
    from trainer.modules.padding import Border


class SeparableConv(Tailed):
    """Convolve each channel alone, mix the results, add the bias, apply the tail.

    Shapes:
        input (batch, channels, height, width) or (batch, steps, features); the output
        has as many axes.
    """

    def __init__(
        self,
        depthwise: tuple[int, ...],
        pointwise: tuple[int, ...],
        *,
        stride: tuple[int, ...],
        border: Border | None,
        dilation: tuple[int, ...],
        bias: bool,
        tail: Tail,
    ) -> None:
        """Make the tensors of these shapes; a sequence's kernel has one size."""
        super().__init__()
        self.depthwise_weight = nn.Parameter(torch.empty(depthwise))
        self.pointwise_weight = nn.Parameter(torch.empty(pointwise))
        self.bias = nn.Parameter(torch.empty(pointwise[0])) if bias else None
        self.stride, self.dilation, self.border = stride, dilation, border
        self.attach(tail)

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the outputs of a batch."""
        sequence = len(self.stride) == 1
        convolve = conv1d if sequence else conv2d
        if sequence:
            x = only_real(x, first_of(masks)).transpose(1, 2)
        groups = x.shape[1]
        if self.border is not None:
            x = self.border.add(x, 0.0)
        apart = convolve(
            x,
            self.depthwise_weight,
            stride=self.stride,
            dilation=self.dilation,
            groups=groups,
        )
        outputs = self.follow(convolve(apart, self.pointwise_weight, self.bias))
        return outputs.transpose(1, 2) if sequence else outputs
