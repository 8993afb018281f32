"""The loss that training makes small: weighted by class, over mixed targets.

What held-back rows are measured by is the plain loss, as in Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainer.spec.weighting import class_text
from trainer.training.mixing import Mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from trainer.spec.data.schema import Scalar
    from trainer.spec.losses import Loss
    from trainer.spec.training import Training

    Plain = Callable[[Tensor, Tensor], Tensor]
    TrainingLoss = Callable[[Tensor, Any], Tensor]  # of targets, plain or mixed


def class_weights(
    recipe: Training, classes: Sequence[Scalar], targets: Tensor
) -> Tensor | None:
    """Return the weight of each class by the training rows' targets, if any.

    Shapes:
        targets: (rows,), class numbers; returns (classes,).
    """
    if recipe.class_weights.kind == "none":
        return None
    names = [class_text(value) for value in classes]
    counts = torch.bincount(targets, minlength=len(names)).tolist()
    weights = recipe.class_weights.weights(counts, names)
    return torch.tensor(weights, dtype=torch.float32, device=targets.device)


def training_loss(loss: Loss, weights: Tensor | None) -> TrainingLoss:
    """Return the loss of a batch, of plain targets or of mixed ones.

    With weights it is Σ weight · loss / examples. Of mixed targets it is the sum of the
    losses of both, each by its share.
    """
    plain = loss.build() if weights is None else _weighted(loss.each(), weights)

    def total(outputs: Tensor, targets: Tensor | Mixed) -> Tensor:
        if isinstance(targets, Mixed):
            one, other = plain(outputs, targets.first), plain(outputs, targets.second)
            return targets.share * one + (1 - targets.share) * other
        return plain(outputs, targets)

    return total


def _weighted(each: Plain, weights: Tensor) -> Plain:
    """Return the mean of the examples' losses, each times the weight of its class."""

    def mean(outputs: Tensor, targets: Tensor) -> Tensor:
        of_rows = weights.to(outputs.dtype)[targets]
        return (each(outputs, targets) * of_rows).mean()

    return mean
