"""What follows a layer's weights: normalisation, activation, dropout."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Tail:
    """The parts that follow a layer's weights, before they belong to a layer."""

    normalization: nn.Module | None
    activation: nn.Module
    dropout: float
    activates_first: bool = False
    """Whether the activation's outputs are normalised in place of its sums."""


class Tailed(nn.Module):
    """A layer whose weights are followed by a tail."""

    normalization: nn.Module | None
    activation: nn.Module
    drop: nn.Module | None
    activates_first: bool

    def attach(self, tail: Tail) -> None:
        """Make the tail's parts children, so that their tensors have plain names."""
        self.normalization = tail.normalization
        self.activation = tail.activation
        self.drop = nn.Dropout(tail.dropout) if tail.dropout else None
        self.activates_first = tail.activates_first

    def follow(self, sums: Tensor) -> Tensor:
        """Apply the tail to the layer's sums."""
        outputs: Tensor = sums
        if self.normalization is not None and not self.activates_first:
            outputs = self.normalization(outputs)
        outputs = self.activation(outputs)
        if self.normalization is not None and self.activates_first:
            outputs = self.normalization(outputs)
        if self.drop is not None:
            outputs = self.drop(outputs)
        return outputs
