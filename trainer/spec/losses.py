"""What training makes small. Add one: write its class, name it in ``Loss`` below.

``each`` returns a function of (outputs, targets) to the loss of each example; ``build``
returns the mean over the batch, which is what training makes small and what the metric
``loss`` says, for training and held-back rows alike (a smoothed loss is measured
smoothed, as in Keras).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Count, Fraction, Named, Rate, Spec

if TYPE_CHECKING:
    from torch import Tensor

    Function = Callable[[Tensor, Tensor], Tensor]

Task = Literal["classification", "multi_label", "regression", "reconstruction"]
"""What is learned: one class of several, several yes-or-no labels, numbers, or the
input itself."""


class Criterion(Spec):
    """What every loss answers; the tasks it is for are named by each."""

    tasks: ClassVar[tuple[Task, ...]] = ()
    positive: ClassVar[bool] = False
    """Whether it is defined for positive outputs and targets of at least 0 only."""
    figures: ClassVar[tuple[str, ...]] = ()
    """What is measured beside the metrics of the task, and can be monitored."""

    def each(self) -> Function:
        """Return the loss per example: (outputs, targets) to (batch,)."""
        raise NotImplementedError

    def build(self) -> Function:
        """Return the mean loss of outputs and targets."""
        each = self.each()
        return lambda outputs, targets: each(outputs, targets).mean()


class SoftmaxCrossEntropy(Criterion):
    """Cross entropy of the softmax of the outputs against one class per example.

    -Σ_k t_k log softmax(o)_k with t = 1 for the class and 0 elsewhere, or smoothed
    after Szegedy et al. (2016), CVPR, section 7.
    """

    kind: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    label_smoothing: Fraction = 0.0
    """Share ε of each target that is spread evenly over all K classes: the class gets
    1 - ε + ε / K, every other ε / K."""
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)

    def each(self) -> Function:
        """Return the loss of outputs (batch, classes) and class numbers (batch,)."""
        from functools import partial

        from torch.nn.functional import cross_entropy

        return partial(
            cross_entropy, reduction="none", label_smoothing=self.label_smoothing
        )

    def build(self) -> Function:
        """Return the mean loss of outputs (batch, classes) and class numbers."""
        from functools import partial

        from torch.nn.functional import cross_entropy

        if not self.label_smoothing:
            return cross_entropy
        return partial(cross_entropy, label_smoothing=self.label_smoothing)


class SoftmaxFocalCrossEntropy(Criterion):
    """Cross entropy that leaves what is easy aside, after Lin et al. (2017), ICCV.

    -(1 - p)^gamma log p with p the softmax of the class, their equation 4.
    """

    kind: Literal["softmax_focal_cross_entropy"] = "softmax_focal_cross_entropy"
    gamma: Coefficient = 2.0
    """Exponent; 0 is plain cross entropy."""
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)

    def each(self) -> Function:
        """Return the loss of outputs (batch, classes) and class numbers (batch,)."""
        from torch.nn.functional import cross_entropy

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            surprise = cross_entropy(outputs, targets, reduction="none")
            # 1 - p without cancellation, and with a gradient of 0 rather than NaN at 0
            missed = (-(-surprise).expm1()).clamp_min(TINY)
            return missed**self.gamma * surprise

        return loss


class SigmoidCrossEntropy(Criterion):
    """Cross entropy of the sigmoid of each output against a yes-or-no label."""

    kind: Literal["sigmoid_cross_entropy"] = "sigmoid_cross_entropy"
    label_smoothing: Fraction = 0.0
    """Share ε of each label that is replaced by one half: y becomes y (1 - ε) + ε / 2,
    as in Keras."""
    tasks: ClassVar[tuple[Task, ...]] = ("multi_label",)

    def each(self) -> Function:
        """Return the loss of outputs and labels in {0, 1}, both (batch, labels)."""
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return entropy(outputs, self._soft(targets), reduction="none").mean(1)

        return loss

    def build(self) -> Function:
        """Return the mean loss of outputs and labels in {0, 1}."""
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        if not self.label_smoothing:
            return entropy
        return lambda outputs, targets: entropy(outputs, self._soft(targets))

    def _soft(self, targets: Tensor) -> Tensor:
        share = self.label_smoothing
        return targets * (1 - share) + share / 2


class SigmoidFocalCrossEntropy(Criterion):
    """Focal cross entropy of each yes-or-no label, after Lin et al. (2017), ICCV.

    -(1 - p)^gamma log p with p the probability given to the label's own value (eq. 4).
    """

    kind: Literal["sigmoid_focal_cross_entropy"] = "sigmoid_focal_cross_entropy"
    gamma: Coefficient = 2.0
    """Exponent; 0 is plain cross entropy."""
    tasks: ClassVar[tuple[Task, ...]] = ("multi_label",)

    def each(self) -> Function:
        """Return the loss of outputs and labels in {0, 1}, both (batch, labels)."""
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            surprise = entropy(outputs, targets, reduction="none")
            missed = (-(-surprise).expm1()).clamp_min(TINY)
            return (missed**self.gamma * surprise).mean(1)

        return loss


class Hinge(Criterion):
    """A margin between what is right and what is not, as in support vector machines.

    For classes max(0, 1 + max_{k≠y} o_k - o_y), after Crammer and Singer (2001),
    JMLR; for labels max(0, 1 - (2y - 1) o). Its outputs order the classes but are
    no logarithms of probabilities.
    """

    kind: Literal["hinge"] = "hinge"
    tasks: ClassVar[tuple[Task, ...]] = ("classification", "multi_label")

    def each(self) -> Function:
        """Return the loss of outputs and class numbers (batch,) or labels."""

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            if targets.ndim > 1:
                return (1 - (2 * targets - 1) * outputs).clamp_min(0).mean(1)
            own = targets[:, None]
            right = outputs.gather(1, own)[:, 0]
            others = outputs.scatter(1, own, -float("inf")).amax(1)
            return (1 + others - right).clamp_min(0)

        return loss


class MeanSquaredError(Criterion):
    """Mean of the squared differences, over examples and outputs."""

    kind: Literal["mean_squared_error"] = "mean_squared_error"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        return lambda outputs, targets: (outputs - targets).square().mean(1)

    def build(self) -> Function:
        """Return the mean loss of outputs and targets."""
        from torch.nn.functional import mse_loss

        return mse_loss


class MeanAbsoluteError(Criterion):
    """Mean of the absolute differences: outliers weigh less than when squared."""

    kind: Literal["mean_absolute_error"] = "mean_absolute_error"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        return lambda outputs, targets: (outputs - targets).abs().mean(1)

    def build(self) -> Function:
        """Return the mean loss of outputs and targets."""
        from torch.nn.functional import l1_loss

        return l1_loss


class Huber(Criterion):
    """Squared near 0, absolute far from it, after Huber (1964).

    d² / 2 for differences |d| ≤ δ, δ (|d| - δ / 2) beyond.
    """

    kind: Literal["huber"] = "huber"
    delta: Rate = 1.0
    """Difference δ from which on it is linear; of targets that are scaled (see
    ``dataset.standardize``) in their deviations."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        from torch.nn.functional import huber_loss

        return lambda outputs, targets: huber_loss(
            outputs, targets, reduction="none", delta=self.delta
        ).mean(1)


class LogCosh(Criterion):
    """Mean of log(cosh(d)) of the differences d: a smooth Huber loss, as in Keras."""

    kind: Literal["log_cosh"] = "log_cosh"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "reconstruction")

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        from math import log

        from torch.nn.functional import softplus

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            difference = outputs - targets
            # log cosh d = d + log(1 + exp(-2 d)) - log 2, which does not overflow
            return (difference + softplus(-2 * difference) - log(2)).mean(1)

        return loss


class Quantile(Criterion):
    """Predict a quantile instead of the mean, after Koenker and Bassett (1978).

    q d for targets that lie d above the output, (q - 1) d for those below.
    """

    kind: Literal["quantile"] = "quantile"
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The share q of targets that shall lie below the output; 0.5 is the median."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression",)

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        import torch

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            above = targets - outputs
            return torch.maximum(
                self.quantile * above, (self.quantile - 1) * above
            ).mean(1)

        return loss


class Poisson(Criterion):
    """Predict counts: o - t log(o + ε), the Poisson likelihood, as in Keras.

    The outputs are the expected counts, so the output layer needs an activation that
    is positive, for instance softplus; then the targets are not scaled.
    """

    kind: Literal["poisson"] = "poisson"
    epsilon: Rate = 1e-7
    """Added to the output inside the logarithm."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression",)
    positive: ClassVar[bool] = True

    def each(self) -> Function:
        """Return the loss of outputs and targets, both (batch, units)."""
        return lambda outputs, targets: (
            outputs - targets * (outputs + self.epsilon).log()
        ).mean(1)


class ContrastiveDivergence(Criterion):
    """Train a restricted Boltzmann machine, after Hinton (2002), Neural Computation 14.

    The machine is a dense layer of sigmoid units under a ``tied_dense`` output: sigmoid
    for visible units of 0 and 1, no activation for Gaussian ones of variance 1 (Hinton,
    2012, A practical guide, section 13.2). Its free energy is F(v) = -b·v - Σ_j log(1 +
    exp(c_j + v·W_j)), for Gaussian units with |v - b|² / 2 in place of -b·v. A step
    follows the gradient of the mean of F(v_0) - F(v_k), with v_0 the rows and v_k what
    `steps` rounds of Gibbs sampling have made of them, taken as given. That is no
    gradient of anything that could be measured: ``loss`` is the mean squared error of
    the means of v given the means of the hidden units, as monitored there in section 5.
    """

    kind: Literal["contrastive_divergence"] = "contrastive_divergence"
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Rounds of sampling k of each step: hidden units, then visible ones."""
    persistent: bool = False
    """Whether the chains go on from step to step instead of beginning at its rows,
    after Tieleman (2008), ICML; they begin at rows of the first step."""
    chains: Count | Literal["batch"] = "batch"
    """Persistent chains; ``"batch"``: as many as a step has rows."""
    tasks: ClassVar[tuple[Task, ...]] = ("reconstruction",)
    figures: ClassVar[tuple[str, ...]] = ("pseudo_likelihood",)

    def each(self) -> Function:
        """Return what is measured of outputs and targets, both (batch, units)."""
        return lambda outputs, targets: (outputs - targets).square().mean(1)


class Contrastive(Criterion):
    """Draw pairs together or a margin apart, after Hadsell et al. (2006), CVPR.

    D² / 2 for examples that are the same and max(0, m - D)² / 2 for different ones,
    equation 4, with the distance D between what the network makes of both. The first
    output is D, as the layer ``distance_threshold`` gives it, the class 1 is "same":
    it is for ``dataset.auxiliary_task`` ``same_or_different``.
    """

    kind: Literal["contrastive"] = "contrastive"
    margin: Rate = 1.0
    """The distance m beyond which different examples are left alone."""
    tasks: ClassVar[tuple[Task, ...]] = ("classification",)

    def each(self) -> Function:
        """Return the loss of outputs (batch, 2) and class numbers (batch,)."""
        import torch

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            distance = outputs[:, 0]
            short = (self.margin - distance).clamp_min(0)
            return torch.where(targets == 1, distance, short).square() / 2

        return loss


TINY = 1e-12
"""Keeps the gradient of a power finite where its argument is 0."""

Loss = Annotated[
    Annotated[
        SoftmaxCrossEntropy
        | SoftmaxFocalCrossEntropy
        | SigmoidCrossEntropy
        | SigmoidFocalCrossEntropy
        | Hinge
        | Contrastive
        | MeanSquaredError
        | MeanAbsoluteError
        | Huber
        | LogCosh
        | Quantile
        | Poisson
        | ContrastiveDivergence,
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
