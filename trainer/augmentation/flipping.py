"""Mirror images."""

import torch
from torch import Tensor


def flipped(x: Tensor, chosen: Tensor, axis: int) -> Tensor:
    """Return the batch with the `chosen` rows mirrored along an axis.

    Shapes:
        chosen: (batch,).
    """
    wide = chosen.reshape(-1, *[1] * (x.ndim - 1))
    return torch.where(wide, x.flip(axis), x)
