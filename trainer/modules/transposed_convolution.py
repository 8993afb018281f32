"""The gradient of a convolution as a layer: it makes inputs larger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, conv_transpose2d

from trainer.modules.masking import first_of, only_real
from trainer.modules.tail import Tail, Tailed

if TYPE_CHECKING:
    from trainer.modules.masking import Masks


class TransposedConv(Tailed):
    """Spread every input over a kernel's positions, add the bias, apply the tail.

    Shapes:
        input (batch, channels, height, width) or (batch, steps, features); the output
        has as many axes.
    """

    def __init__(
        self,
        weight: tuple[int, ...],
        *,
        stride: tuple[int, ...],
        sizes: tuple[int, ...],
        same: bool,
        bias: bool,
        tail: Tail,
    ) -> None:
        """Make the tensors; `weight` is (channels, filters, *kernel).

        `sizes` are those that come out. With `same` the border that the convolution
        would have been given is cut off again, the odd position behind; a stride
        beyond the kernel leaves positions behind that hold nothing but the bias.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weight))
        self.bias = nn.Parameter(torch.empty(weight[1])) if bias else None
        self.stride, self.sizes = stride, sizes
        spare = [k - s for k, s in zip(weight[2:], stride, strict=True)]
        self.padding = tuple(max(n, 0) // 2 if same else 0 for n in spare)
        self.output_padding = tuple(max(-n, 0) for n in spare)
        self.attach(tail)

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the outputs of a batch."""
        sequence = len(self.stride) == 1
        convolve = conv_transpose1d if sequence else conv_transpose2d
        if sequence:
            x = only_real(x, first_of(masks)).transpose(1, 2)
        sums = convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding
        )
        for axis, size in enumerate(self.sizes, start=2):
            if sums.shape[axis] > size:
                sums = sums.narrow(axis, 0, size)
        outputs = self.follow(sums)
        return outputs.transpose(1, 2) if sequence else outputs
