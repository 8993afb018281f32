"""Vectors looked up by id, and vectors that tell a step's position."""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding


class Embedding(nn.Module):
    """Look up a vector for each id; ids beyond the table count as its last.

    Shapes:
        input (batch, steps), whole numbers in float32; output (batch, steps, units).
    """

    def __init__(self, size: tuple[int, ...], *, padded: bool) -> None:
        """Make the table (ids, units); with `padded` entry 0 gets no gradient."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.padding = 0 if padded else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of a batch of ids."""
        ids = x.clamp(0, len(self.weight) - 1).long()
        return embedding(ids, self.weight, self.padding)


class SinusoidalPositions(nn.Module):
    """Add sines and cosines of the position, slower from feature to feature."""

    table: Tensor

    def __init__(self, steps: int, features: int) -> None:
        """Work the table out: (steps, features), no part of what is saved."""
        super().__init__()
        positions = torch.arange(steps, dtype=torch.float64)[:, None]
        even = torch.arange(0, features, 2, dtype=torch.float64)
        angles = positions / 10_000 ** (even / features)
        both = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
        table = both[:, :features].float()
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (batch, steps, features) with the positions added."""
        return x + self.table


class LearnedPositions(nn.Module):
    """Add a learned vector for each position."""

    def __init__(self, steps: int, features: int) -> None:
        """Make the vectors; the network fills them."""
        super().__init__()
        self.positions = nn.Parameter(torch.empty(steps, features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (batch, steps, features) with the positions added."""
        return x + self.positions
