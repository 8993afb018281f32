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
    """Decide once, by shape, what must be added to an image before its window.

    Or to a sequence, whose only size is its steps.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: tuple[int, ...],
        *,
        causal: bool = False,
    ) -> None:
        """Work out the border of inputs with these sizes, (height, width) or (steps,).

        With `causal` all of it lies before: no output looks at a later position.
        """
        edges = [
            ((k - 1) * d, 0) if causal else same_padding(size, k, s, d)
            for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
        ]
        befores = tuple(before for before, _ in edges)
        self.even = befores if all(len(set(edge)) == 1 for edge in edges) else None
        """The border as a convolution's own padding, where it is symmetric."""
        self.amounts = tuple(amount for edge in reversed(edges) for amount in edge)

    def add(self, x: Tensor, value: float) -> Tensor:
        """Return x (batch, channels, *sizes) with the border round it."""
        return pad(x, self.amounts, value=value) if any(self.amounts) else x
