"""Zeros in place of small weights. Add one: write its class, name it in ``Pruning``.

Only weights of layers that learn are pruned: no biases, no vectors of a normalisation,
nothing that is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Fraction, Named, Rate, Spec
from trainer.spec.schedules.lengths import Epochs, Length, steps_of

if TYPE_CHECKING:
    from typing import Self

Scope = Literal["layer", "global"]
"""Whether each weight tensor reaches the share of zeros, or all together do; global
pruning takes more from layers whose weights are small."""

DEFAULT_SPARSITY = 0.5
"""Share of zeros where neither a share nor a threshold is given."""


class NoPruning(Spec):
    """Keep every weight."""

    kind: Literal["none"] = "none"
    gradual: ClassVar[bool] = False


class Magnitude(Spec):
    """Set the smallest weights to 0 when training is over.

    After Han et al. (2015), NeurIPS, section 3, without their retraining. The best
    weights are brought back, pruned and measured again: the model's metrics are those
    of the pruned weights, those before carry ``_before_pruning``.
    """

    kind: Literal["magnitude"] = "magnitude"
    gradual: ClassVar[bool] = False
    sparsity: Fraction | None = None
    """Share of the weights that becomes 0; absent, and without threshold: 0.5."""
    threshold: Rate | None = None
    """In place of a share: weights whose absolute value is smaller become 0."""
    scope: Scope = "global"
    """Whether the whole network reaches the share or each layer does; global costs less
    accuracy, because layers of many weights give more."""
    recompute_statistics: bool = True
    """Whether batch normalisation in layers that learn measures the training rows anew
    afterwards; with the statistics of unpruned sums most accuracy can be lost."""

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.sparsity is not None and self.threshold is not None:
            raise ValueError("give sparsity or threshold, not both")
        return self

    def share(self) -> float:
        """Return the share of zeros where no threshold is given."""
        return DEFAULT_SPARSITY if self.sparsity is None else self.sparsity


class Gradual(Spec):
    """Set more and more weights to 0 while training, after Zhu and Gupta (2017).

    arXiv:1710.01878, equation 1: between the steps `begin` and `end` the share of
    zeros is s = final + (initial - final) (1 - (step - begin) / (end - begin))³. What
    is 0 stays 0, and the other weights go on learning. Early stopping looks at no
    evaluation before the schedule has ended: the best weights have the final share.
    """

    kind: Literal["gradual"] = "gradual"
    gradual: ClassVar[bool] = True
    initial_sparsity: Fraction = 0.0
    """Share of zeros at `begin`."""
    final_sparsity: Fraction = 0.8
    """Share of zeros from `end` on."""
    begin: Annotated[int, Field(ge=0, le=1_000_000_000)] | Epochs = 0
    """When pruning begins, in steps or ``{"epochs": n}``."""
    end: Length | None = None
    """When the final share is reached, in steps or ``{"epochs": n}``, at the latest
    with the last step of training; absent: after half of the epochs."""
    every: Length = 100
    """Time from one choice of weights to the next, in steps or ``{"epochs": n}``."""
    scope: Scope = "layer"
    """Whether each layer reaches the share or the whole network does."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                f"initial_sparsity {self.initial_sparsity} lies above final_sparsity "
                f"{self.final_sparsity}: what is 0 stays 0"
            )
        return self

    def span(self, steps_per_epoch: int, epochs: int) -> tuple[int, int, int]:
        """Return the steps at which pruning begins, ends, and between choices."""
        last = steps_per_epoch * epochs
        begin = round(steps_of(self.begin, steps_per_epoch)) if self.begin else 0
        half = Epochs(epochs=max(1.0, epochs / 2))
        end = steps_of(half if self.end is None else self.end, steps_per_epoch)
        every = max(1, round(steps_of(self.every, steps_per_epoch)))
        return begin, max(begin, min(round(end), last)), every

    def share(self, progress: float) -> float:
        """Return the share of zeros once `progress`, from 0 to 1, is behind."""
        left = (1 - min(1.0, max(0.0, progress))) ** 3
        return (
            self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * left
        )


Pruning = Annotated[
    Annotated[NoPruning | Magnitude | Gradual, Field(discriminator="kind")], Named
]
