"""A convolution over the steps of a sequence, with its tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from trainer.modules.masking import first_of, only_real
from trainer.modules.tail import Tail, Tailed

if TYPE_CHECKING:
    from trainer.modules.masking import Masks
    from trainer.modules.padding import Border


class Conv1d(Tailed):
    """Convolve over steps, add the bias, apply the tail.

    Steps that are padding count as zeros, as those beyond the ends do.

    Shapes:
        input (batch, steps, features); output (batch, …, filters).
    """

    def __init__(
        self,
        weight: tuple[int, ...],
        *,
        stride: int,
        border: Border | None,
        dilation: int,
        groups: int,
        bias: bool,
        tail: Tail,
    ) -> None:
        """Make the tensors; `weight` is (filters, features / groups, kernel)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weight))
        self.bias = nn.Parameter(torch.empty(weight[0])) if bias else None
        self.stride, self.dilation, self.groups = stride, dilation, groups
        even = (0,) if border is None else border.even
        self.padding = even or (0,)
        self.border = border if even is None else None
        self.attach(tail)

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the outputs of a batch."""
        x = only_real(x, first_of(masks)).transpose(1, 2)
        if self.border is not None:
            x = self.border.add(x, 0.0)
        sums = conv1d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        return self.follow(sums).transpose(1, 2)
