"""Normalisation of a layer's sums before its activation. Add one: class, then union.

A normalisation tells its tensors (name, shape, whether it learns) so that models can
be compared without building them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Fraction, Named, Rate, Spec
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn


class NoNormalization(Spec):
    """Leave the layer's sums as they are."""

    kind: Literal["none"] = "none"

    def tensors(self, shape: Shape) -> dict[str, TensorShape]:
        """Return no tensors."""
        return {}

    def build(self, shape: Shape) -> nn.Module | None:
        """Return None: there is nothing to do."""
        return None


class Batch(Spec):
    """Batch normalisation per unit or channel, after Ioffe and Szegedy (2015), ICML.

    Four vectors: scale and shift learn; the moving mean and variance are used when
    the layer is frozen or asked to predict.
    """

    kind: Literal["batch"] = "batch"
    momentum: Fraction = 0.9
    """Share of the moving statistics that is kept at each step, as in Keras (torch
    counts the share that is replaced)."""
    epsilon: Rate = 0.001
    """Added to the variance, as in Keras."""

    def tensors(self, shape: Shape) -> dict[str, TensorShape]:
        """Return the tensors for a layer output of `shape` (channels first)."""
        size = (shape[0],)
        return {
            "weight": TensorShape(size),
            "bias": TensorShape(size),
            "running_mean": TensorShape(size, learns=False),
            "running_var": TensorShape(size, learns=False),
            "num_batches_tracked": TensorShape((), learns=False, dtype="int64"),
        }

    def build(self, shape: Shape) -> nn.Module | None:
        """Return the module for a layer output of `shape` (channels first)."""
        from torch import nn

        of = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        return of(shape[0], eps=self.epsilon, momentum=1 - self.momentum)


Normalization = Annotated[
    Annotated[NoNormalization | Batch, Field(discriminator="kind")], Named
]
