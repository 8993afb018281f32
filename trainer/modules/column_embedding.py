"""Vectors for the categories and texts of a row, beside its numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from trainer.spec.data.layout import Category, InputPart, Numbers


class ColumnEmbedding(nn.Module):
    """Look up names in a row of numbers; a text is the mean of its tokens' vectors.

    Names are whole numbers in float32, exact up to 2^24. Any number is taken: what is
    beyond the table counts as its last entry, so that no input can stop a batch.

    Shapes:
        input (batch, *any, width); output (batch, *any, size): the sums over the parts.
    """

    def __init__(self, parts: Sequence[InputPart]) -> None:
        """Make the tables; the network fills them."""
        super().__init__()
        self.parts = tuple(parts)
        for number, part in enumerate(parts):
            if not isinstance(part, Numbers):
                table = torch.zeros(part.vocabulary_size, part.dimension)
                self.register_parameter(f"embedding_{number}", nn.Parameter(table))

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors and numbers of a batch, side by side."""
        found, start = [], 0
        for number, part in enumerate(self.parts):
            given = x[..., start : start + part.width]
            start += part.width
            if isinstance(part, Numbers):
                found.append(given)
                continue
            names = given.clamp(0, part.vocabulary_size - 1)
            table: Tensor = getattr(self, f"embedding_{number}")
            vectors = embedding(names.long(), table)
            if isinstance(part, Category):
                found.append(vectors.flatten(-2))
            else:
                there = names.clamp(0, 1).unsqueeze(-1)  # 0 fills up, all else counts
                sums = (vectors * there).sum(-2)
                found.append(sums / there.sum(-2).clamp(1, None))
        return torch.cat(found, dim=-1)
