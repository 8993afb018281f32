"""A transformer's block: attention and two dense layers, each added to its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from trainer.modules.attention import Attention, Projection
from trainer.modules.masking import first_of, only_real

if TYPE_CHECKING:
    from trainer.modules.masking import Masks


class TransformerBlock(nn.Module):
    """Attention, then a dense layer at each step, both with a way round.

    Shapes:
        input and output (batch, steps, features).
    """

    def __init__(
        self,
        attention: Attention,
        features: int,
        units: int,
        *,
        activation: nn.Module,
        dropout: float,
        normalize_first: bool,
        epsilon: float,
    ) -> None:
        """Make the parts; normalisation comes before each half or after its sum."""
        super().__init__()
        self.attention = attention
        self.inner = Projection(features, units)
        self.outer = Projection(units, features)
        self.normalization1 = nn.LayerNorm(features, eps=epsilon)
        self.normalization2 = nn.LayerNorm(features, eps=epsilon)
        self.activation = activation
        self.drop = nn.Dropout(dropout)
        self.normalize_first = normalize_first

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the outputs of a batch."""
        first, second = self.normalization1, self.normalization2
        if self.normalize_first:
            x = x + self._looked(first(x), masks)
            x = x + self._thought(second(x))
        else:
            x = first(x + self._looked(x, masks))
            x = second(x + self._thought(x))
        return only_real(x, first_of(masks))

    def _looked(self, x: Tensor, masks: Masks) -> Tensor:
        return self.drop(self.attention(x, masks=masks))  # type: ignore[no-any-return]

    def _thought(self, x: Tensor) -> Tensor:
        inner = self.activation(self.inner(x))
        return self.drop(self.outer(inner))  # type: ignore[no-any-return]
