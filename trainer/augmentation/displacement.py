"""Move each row of a batch by a whole number of places of its own."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def displaced(x: Tensor, ways: Tensor, axis: int, most: int, fill: str) -> Tensor:
    """Return the batch with row r moved `ways[r]` places towards the end of an axis.

    Every row is a window into the batch with `most` places added at either end.

    Shapes:
        ways: (batch,), whole numbers from -`most` to `most`.
    """
    size = x.shape[axis]
    windows = _widened(x, axis, most, fill).unfold(axis, size, 1).movedim(axis, 1)
    rows = torch.arange(len(x), device=x.device)
    return windows[rows, most - ways].movedim(-1, axis)


def _widened(x: Tensor, axis: int, most: int, fill: str) -> Tensor:
    """Return the batch with `most` places more at either end of an axis."""
    size = x.shape[axis]
    if fill == "zeros":
        behind = x.ndim - 1 - axis
        return pad(x, [0, 0] * behind + [most, most])
    places = torch.arange(-most, size + most, device=x.device)
    if fill == "reflect":  # the outermost value is repeated: … 1 0 | 0 1 2 | 2 1 …
        folded = places.remainder(2 * size)
        places = torch.minimum(folded, 2 * size - 1 - folded)
    return x.index_select(axis, places.clamp(0, size - 1))
