"""Recurrent layers out of torch's own, that pass over steps which are padding."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from trainer.modules.masking import first_of
from trainer.modules.noise import FeatureDropout

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.modules.masking import Masks

CELLS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn_tanh": partial(nn.RNN, nonlinearity="tanh"),
    "rnn_relu": partial(nn.RNN, nonlinearity="relu"),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


class Recurrent(nn.Module):
    """Read a sequence step by step, from its start and perhaps from its end too.

    Shapes:
        input (batch, steps, features); output (batch, steps, width) or (batch, width),
        where width is the units or, in both directions, twice the units.
    """

    def __init__(
        self,
        cell: str,
        features: int,
        units: int,
        *,
        bidirectional: bool,
        return_sequences: bool,
        dropout: float,
    ) -> None:
        """Make the tensors; the network fills them."""
        super().__init__()
        of = CELLS[cell]
        self.forwards = of(features, units, batch_first=True)
        self.backwards = (
            of(features, units, batch_first=True) if bidirectional else None
        )
        self.drop = FeatureDropout(dropout) if dropout else None
        self.return_sequences = return_sequences

    def train(self, mode: bool = True) -> Recurrent:  # noqa: FBT001, FBT002 - torch's
        """Set the mode; the parts themselves always train.

        They have nothing random in them, and cuDNN gives no gradient through a
        recurrent layer in evaluation mode: one that is frozen above others needs it.
        """
        super().train(mode)
        for part in (self.forwards, self.backwards):
            if part is not None:
                part.train()
        return self

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Return the outputs of a batch."""
        if self.drop is not None:
            x = self.drop(x)
        real = first_of(masks)
        directions = [(self.forwards, False)]
        if self.backwards is not None:
            directions.append((self.backwards, True))
        found = [
            self._whole(part, x, turned)
            if real is None
            else self._real(part, x, real, turned)
            for part, turned in directions
        ]
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)

    def _whole(self, part: nn.RNNBase, x: Tensor, turned: bool) -> Tensor:  # noqa: FBT001
        """Read sequences without padding."""
        outputs = _outputs(part, x.flip(1) if turned else x)
        if not self.return_sequences:
            return outputs[:, -1]
        return outputs.flip(1) if turned else outputs

    def _real(
        self,
        part: nn.RNNBase,
        x: Tensor,
        real: Tensor,
        turned: bool,  # noqa: FBT001
    ) -> Tensor:
        """Read the real steps one after the other, those of padding behind them all."""
        counted = real.float().cumsum(1)
        length = counted[:, -1:]
        ahead = length - counted if turned else counted - 1
        behind = length + (~real).float().cumsum(1) - 1
        places = torch.where(real, ahead, behind).long().unsqueeze(-1)
        packed = x.scatter(1, places.expand(-1, -1, x.shape[2]), x)
        outputs = _outputs(part, packed)
        units = outputs.shape[2]
        if self.return_sequences:
            back = outputs.gather(1, places.expand(-1, -1, units))
            return back.masked_fill(~real.unsqueeze(-1), 0.0)
        last = (length - 1).clamp(min=0).long().unsqueeze(-1)
        final = outputs.gather(1, last.expand(-1, -1, units)).squeeze(1)
        return final.masked_fill(length < 1, 0.0)


def _outputs(part: nn.RNNBase, x: Tensor) -> Tensor:
    return cast("Tensor", part(x)[0])
