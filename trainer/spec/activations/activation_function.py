"""What activations have in common; the family itself is in ``activations``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.spec.base import Spec
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn


class ActivationFunction(Spec):
    """A function of a layer's sums; nearly all work on each number alone.

    `shape` is that of the sums of one example. `axis` says where their features or
    channels lie, where that is not `shapes.features_axis`.
    """

    @property
    def random(self) -> bool:
        """Return whether two passes differ while training."""
        return False

    @property
    def sums_per_output(self) -> int:
        """Return how many sums each output is made of."""
        return 1

    def tensors(self, shape: Shape, axis: int | None = None) -> dict[str, TensorShape]:
        """Return the tensors that the function learns, by name; most have none."""
        return {}

    def build(self, shape: Shape, axis: int | None = None) -> nn.Module:
        """Return the module for sums of `shape`."""
        raise NotImplementedError
