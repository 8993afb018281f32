"""Numbers moved about: other shapes, other orders, repetitions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Reshape(nn.Module):
    """Lay the numbers of each example out in another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Keep the shape of one example."""
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, *shape)."""
        return x.reshape(x.shape[0], *self.shape)


class Permute(nn.Module):
    """Put the axes of each example into another order."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        """Keep the order; axis 0 is the batch."""
        super().__init__()
        self.axes = (0, *axes)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its axes in the new order."""
        return x.permute(self.axes).contiguous()


class RepeatVector(nn.Module):
    """Give a vector at every step."""

    def __init__(self, steps: int) -> None:
        """Keep the number of steps."""
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, steps, features) of x (batch, features)."""
        return x.unsqueeze(1).expand(-1, self.steps, -1).contiguous()


class Upsampling(nn.Module):
    """Give every position several times, along steps or along height and width."""

    def __init__(self, times: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Keep how often each position is given, and the shape that comes out."""
        super().__init__()
        self.times, self.shape = times, shape

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, *shape)."""
        if len(self.times) == 1:
            more = x.unsqueeze(2).expand(-1, -1, *self.times, -1)
        else:
            down, across = self.times
            more = x[:, :, :, None, :, None].expand(-1, -1, -1, down, -1, across)
        return more.reshape(x.shape[0], *self.shape)


class Columns(nn.Module):
    """Take runs of numbers out of each row.

    Shapes:
        input (batch, *any, width); output (batch, *any, the runs side by side).
    """

    def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
        """Keep where the runs begin and end."""
        super().__init__()
        self.runs = tuple(runs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the runs side by side."""
        return torch.cat([x[..., start:stop] for start, stop in self.runs], dim=-1)
