"""Where the features lie, for functions of torch that want them on axis 1."""

from collections.abc import Callable

from torch import Tensor


def on_features(function: Callable[[Tensor], Tensor], x: Tensor, axis: int) -> Tensor:
    """Return `function` of `x`, which it sees with the features on axis 1.

    Shapes:
        x: (batch, *example); `axis` is that of the features in the example.
    """
    if axis == 0:
        return function(x)
    return function(x.transpose(1, axis + 1)).transpose(1, axis + 1)
