"""Attention of several heads, that looks at no padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from trainer.modules.masking import first_of, only_real

if TYPE_CHECKING:
    from trainer.modules.masking import Masks


class Projection(nn.Module):
    """A dense layer at each step, without a tail.

    torch's own would be filled twice: a thousand of them take seconds.
    """

    def __init__(self, features: int, units: int) -> None:
        """Make the tensors; the network fills them."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, features))
        self.bias = nn.Parameter(torch.empty(units))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, steps, units)."""
        return linear(x, self.weight, self.bias)


class Attention(nn.Module):
    """softmax(Q Kᵀ / √key_size) V for each head, times an output matrix.

    Shapes:
        inputs (batch, steps, features): the sequence itself, or queries and values, or
        queries, values and keys; output (batch, steps, features) of the queries.
    """

    def __init__(
        self,
        features: tuple[int, int, int],
        heads: int,
        key_size: int,
        *,
        causal: bool,
        dropout: float,
    ) -> None:
        """Make the tensors for the features of queries, keys and values."""
        super().__init__()
        queries, keys, values = features
        self.heads, self.key_size, self.causal = heads, key_size, causal
        self.query = Projection(queries, heads * key_size)
        self.key = Projection(keys, heads * key_size)
        self.value = Projection(values, heads * key_size)
        self.output = Projection(heads * key_size, queries)
        self.drop = nn.Dropout(dropout) if dropout else None

    def forward(self, *inputs: Tensor, masks: Masks = ()) -> Tensor:
        """Return what each step of the queries has found."""
        seen = masks[min(1, len(inputs) - 1)] if masks else None
        allowed = None if seen is None else self._allowed(seen)
        looked = scaled_dot_product_attention(
            self._divided(self.query(inputs[0])),
            self._divided(self.key(inputs[-1])),
            self._divided(self.value(inputs[min(1, len(inputs) - 1)])),
            attn_mask=None if allowed is None else _something(allowed),
            dropout_p=self.drop.p if self.drop is not None and self.training else 0.0,
            is_causal=self.causal and allowed is None,
        )
        if allowed is not None:
            looked = looked.masked_fill(_nothing(allowed), 0.0)
        found = looked.transpose(1, 2).flatten(2)
        return only_real(self.output(found), first_of(masks))

    def _divided(self, x: Tensor) -> Tensor:
        """Return x (batch, steps, heads x size) as (batch, heads, steps, size)."""
        return x.view(*x.shape[:2], self.heads, self.key_size).transpose(1, 2)

    def _allowed(self, real: Tensor) -> Tensor:
        """Return which steps each may look at: (batch, 1, steps or 1, steps)."""
        seen = real[:, None, None, :]
        if not self.causal:
            return seen
        steps = real.shape[1]
        ones = torch.ones(steps, steps, dtype=torch.bool, device=real.device)
        return seen & ones.tril()


def _nothing(allowed: Tensor) -> Tensor:
    """Return which steps may look at nothing: (batch, 1, steps or 1, 1)."""
    return ~allowed.any(dim=3, keepdim=True)


def _something(allowed: Tensor) -> Tensor:
    """Let steps that may look at nothing look anywhere: softmax needs a number."""
    return allowed | _nothing(allowed)
