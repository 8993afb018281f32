"""Change a table by its columns: the features of one category go together."""

from functools import cache

import torch
from torch import Tensor

Widths = tuple[int, ...]
"""How many features each column became."""


@cache
def per_feature(
    values: tuple[bool, ...], widths: Widths, device: torch.device
) -> Tensor | None:
    """Return what is said of each column for each feature, 1 or 0; None of no table."""
    if not widths:
        return None
    said = torch.tensor(values, dtype=torch.float32, device=device)
    return said[_columns(widths, device)]


def chosen_columns(x: Tensor, rate: float, widths: Widths) -> Tensor:
    """Return which features belong to a drawn share of the values of each row.

    Shapes:
        returns (batch, features).
    """
    chosen = torch.rand(len(x), len(widths), device=x.device) < rate
    return chosen[:, _columns(widths, x.device)]


def swapped(x: Tensor, chosen: Tensor, widths: Widths) -> Tensor:
    """Return the batch with the `chosen` values taken from other rows of it.

    Each value comes from a row that is drawn for it.
    """
    rows = torch.randint(len(x), (len(x), len(widths)), device=x.device)
    others = x.gather(0, rows[:, _columns(widths, x.device)])
    return torch.where(chosen, others, x)


@cache  # a copy to the device at every step would be waited for
def _columns(widths: Widths, device: torch.device) -> Tensor:
    """Return the number of each feature's column: (features,)."""
    numbers = torch.arange(len(widths))
    return numbers.repeat_interleave(torch.tensor(widths)).to(device)
