"""What follows a layer's weights: normalisation, activation, dropout."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Tail:
    """The parts that follow a layer's weights, before they belong to a layer."""

    normalization: nn.Module | None
    activation: nn.Module
    dropout: float


class Tailed(nn.Module):
    """A layer whose weights are followed by a tail."""

    normalization: nn.Module | None
    activation: nn.Module
    drop: nn.Module | None

    def attach(self, tail: Tail) -> None:
        """Make the tail's parts children, so that their tensors have plain names."""
        self.normalization = tail.normalization
        self.activation = tail.activation
        self.drop = nn.Dropout(tail.dropout) if tail.dropout else None

    def follow(self, sums: Tensor) -> Tensor:
        """Apply the tail to the layer's sums."""
        if self.normalization is not None:
            sums = self.normalization(sums)
        outputs: Tensor = self.activation(sums)
        return outputs if self.drop is None else self.drop(outputs)
