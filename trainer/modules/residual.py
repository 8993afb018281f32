"""A residual block: two convolutions and a shortcut round them."""

from torch import Tensor, nn

from trainer.modules.convolution import Conv2d
from trainer.modules.tail import Tail


class Residual(nn.Module):
    """Add the input, or its projection, to the outputs of two convolutions.

    Shapes:
        input (batch, channels, height, width); output (batch, filters, …, …).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        filters: int,
        *,
        kernel: int,
        stride: int,
        bias: bool,
        tails: tuple[Tail, ...],
    ) -> None:
        """Make the parts for images of `shape`; the activation follows the sum."""
        super().__init__()
        first, second, third = tails
        after = (filters, -(-shape[1] // stride), -(-shape[2] // stride))
        self.conv1 = Conv2d(
            shape,
            filters,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            same=True,
            bias=bias,
            tail=Tail(
                first.normalization, first.activation, 0.0, first.activates_first
            ),
        )
        self.conv2 = Conv2d(
            after,
            filters,
            kernel=(kernel, kernel),
            stride=(1, 1),
            same=True,
            bias=bias,
            tail=Tail(second.normalization, nn.Identity(), 0.0),
        )
        self.shortcut = None
        if tuple(shape) != after:
            self.shortcut = Conv2d(
                shape,
                filters,
                kernel=(1, 1),
                stride=(stride, stride),
                same=True,
                bias=bias,
                tail=Tail(third.normalization, nn.Identity(), 0.0),
            )
        self.activation = second.activation
        self.drop = nn.Dropout(second.dropout) if second.dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        around = x if self.shortcut is None else self.shortcut(x)
        outputs: Tensor = self.activation(self.conv2(self.conv1(x)) + around)
        return outputs if self.drop is None else self.drop(outputs)
