"""What training makes small. Add one: write its class, name it in ``Loss`` below.

``build`` returns a function of (outputs, targets) to the mean loss of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Named, Spec

if TYPE_CHECKING:
    from torch import Tensor

Task = Literal["classification", "multi_label", "regression", "reconstruction"]
"""What is learned: one class of several, several yes-or-no labels, numbers, or the
input itself."""


class SoftmaxCrossEntropy(Spec):
    """Cross entropy of the softmax of the outputs against one class per example."""

    kind: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)

    def build(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss of outputs (batch, classes) and class numbers (batch,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy


class SigmoidCrossEntropy(Spec):
    """Cross entropy of the sigmoid of each output against a yes-or-no label."""

    kind: Literal["sigmoid_cross_entropy"] = "sigmoid_cross_entropy"
    tasks: ClassVar[tuple[Task, ...]] = ("multi_label",)

    def build(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss of outputs and labels in {0, 1}, both (batch, labels)."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits


class MeanSquaredError(Spec):
    """Mean of the squared differences, over examples and outputs."""

    kind: Literal["mean_squared_error"] = "mean_squared_error"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def build(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss of outputs and targets, both (batch, units)."""
        from torch.nn.functional import mse_loss

        return mse_loss


class MeanAbsoluteError(Spec):
    """Mean of the absolute differences: outliers weigh less than when squared."""

    kind: Literal["mean_absolute_error"] = "mean_absolute_error"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def build(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss of outputs and targets, both (batch, units)."""
        from torch.nn.functional import l1_loss

        return l1_loss


Loss = Annotated[
    Annotated[
        SoftmaxCrossEntropy
        | SigmoidCrossEntropy
        | MeanSquaredError
        | MeanAbsoluteError,
        Field(discriminator="kind"),
    ],
    Named,
]

DEFAULT_LOSS: dict[Task, Loss] = {
    "classification": SoftmaxCrossEntropy(),
    "multi_label": SigmoidCrossEntropy(),
    "regression": MeanSquaredError(),
    "reconstruction": MeanSquaredError(),
}
"""The loss of a task when the spec names none."""
