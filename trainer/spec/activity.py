"""Penalties on what a layer gives. Add one: class here, name in the union below.

They are added to the loss that training descends, for the rows of a step; the metric
``loss`` does not contain them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Named, Spec
from trainer.spec.shapes import Impossible

if TYPE_CHECKING:
    from torch import Tensor

PROBABILITIES = frozenset({"sigmoid", "hard_sigmoid"})
"""Activations whose outputs all lie between 0 and 1."""
NEARLY = 1e-6
"""Means nearer to 0 or 1 than this are taken to be so near."""


class ActivityRegularizer(Spec):
    """A penalty on the outputs of a layer, before its dropout."""

    bounded: ClassVar[bool] = False
    """Whether it is for outputs between 0 and 1 only."""
    of_means: ClassVar[bool] = False
    """Whether it is a function of the means over the batch, and no mean of a function
    of each example: then the parts of a divided batch must know of each other."""

    def check(self, activation: str, *, normalised: bool) -> None:
        """Refuse what outputs of an activation, then perhaps normalised, cannot have.

        Raises: Impossible.
        """
        if self.bounded and (normalised or activation not in PROBABILITIES):
            after = "a normalisation after it" if normalised else repr(activation)
            raise Impossible(
                f"a divergence is for outputs between 0 and 1, which {after} does not "
                "give",
                field="activity_regularization",
                suggestion="activation: sigmoid, or the kind l1",
            )

    def penalty(self, outputs: Tensor) -> Tensor:
        """Return the penalty of outputs (batch, ...) as one number."""
        raise NotImplementedError

    def of_mean(self, means: Tensor) -> Tensor:
        """Return the penalty of units with these means, (units,), as one number."""
        raise NotImplementedError


class NoActivityRegularization(ActivityRegularizer):
    """Let the layer give what it likes."""

    kind: Literal["none"] = "none"

    def penalty(self, outputs: Tensor) -> Tensor:
        """Return 0."""
        return outputs.new_zeros(())


class L1(ActivityRegularizer):
    """Keep outputs few and small, after Olshausen and Field (1996), Nature 381.

    The coefficient times Σ|a| over the outputs of an example, the mean over the
    examples, as the ``activity_regularizer`` of Keras.
    """

    kind: Literal["l1"] = "l1"
    coefficient: Coefficient = 0.001
    """What one unit of output costs, in units of the loss."""

    def penalty(self, outputs: Tensor) -> Tensor:
        """Return the penalty of outputs (batch, ...) as one number."""
        return self.coefficient * outputs.flatten(1).abs().sum(1).mean()


class KlDivergence(ActivityRegularizer):
    """Hold each unit's mean over the batch at a target, after Lee et al. (2008), NIPS.

    A sparse autoencoder as in Ng (2011), CS294A lecture notes, section 3, and Géron
    (2017), chapter 15: the coefficient times Σ_j (t log(t / m_j) + (1 - t) log((1 - t)
    / (1 - m_j))), with m_j the mean of unit j over the rows of the step, t the target.
    """

    kind: Literal["kl_divergence"] = "kl_divergence"
    target: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The mean that each unit shall have."""
    coefficient: Coefficient = 0.2
    """What one nat of divergence of one unit costs, in units of the loss."""
    bounded: ClassVar[bool] = True
    of_means: ClassVar[bool] = True

    def penalty(self, outputs: Tensor) -> Tensor:
        """Return the penalty of outputs (batch, ...) as one number."""
        return self.of_mean(outputs.flatten(1).mean(0))

    def of_mean(self, means: Tensor) -> Tensor:
        """Return the penalty of units with these means, (units,), as one number."""
        held = means.clamp(NEARLY, 1 - NEARLY)
        target = self.target
        on = target * (target / held).log()
        off = (1 - target) * ((1 - target) / (1 - held)).log()
        return self.coefficient * (on + off).sum()


ActivityRegularization = Annotated[
    Annotated[
        NoActivityRegularization | L1 | KlDivergence, Field(discriminator="kind")
    ],
    Named,
]
