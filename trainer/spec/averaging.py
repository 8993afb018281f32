"""Averages of the weights over the steps. Add one: class here, name in ``Averaging``.

Where weights are averaged, the averages are evaluated, judged by early stopping and
registered as the model; training itself goes on with the weights of the last step, and
the metrics of training rows are theirs. ``begin`` and ``period`` are in steps,
``share`` is how much of the average the newest weights become: a ← a + share (w - a).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Named, Spec
from trainer.spec.schedules.lengths import Epochs, Length, steps_of

Start = Annotated[int, Field(ge=0, le=1_000_000_000)] | Epochs


class NoAveraging(Spec):
    """Use the weights of one step: the best, or the last."""

    kind: Literal["none"] = "none"


class ExponentialMovingAverage(Spec):
    """Average with weights that fade, after Polyak and Juditsky (1992).

    a ← d a + (1 - d) w after each step, with d = min(decay, (1 + t) / (10 + t)) at the
    t-th update, as in TensorFlow, so that the first weights are soon forgotten. The
    statistics of batch normalisation are averaged alike.
    """

    kind: Literal["exponential_moving_average"] = "exponential_moving_average"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the average that is kept at each step; it looks back over about
    1 / (1 - decay) steps."""
    start: Start = 0
    """Steps, or ``{"epochs": n}``, before the average begins."""
    recomputes_statistics: ClassVar[bool] = False

    def begin(self, epochs: int, steps_per_epoch: int) -> float:
        """Return the step after which weights are first taken."""
        return steps_of(self.start, steps_per_epoch)

    def period(self, steps_per_epoch: int) -> float:
        """Return the steps from one taking to the next."""
        return 1.0

    def share(self, taken: int) -> float:
        """Return the share of the newest weights, `taken` earlier ones being in."""
        if not taken:
            return 1.0
        return 1 - min(self.decay, (1 + taken) / (10 + taken))


class StochasticWeightAveraging(Spec):
    """Average weights along the end of training, after Izmailov et al. (2018), UAI.

    The plain mean of the weights after every so many steps. The statistics of batch
    normalisation are computed anew from the training rows for the averaged weights.
    """

    kind: Literal["stochastic_weight_averaging"] = "stochastic_weight_averaging"
    start: Start | None = None
    """Steps, or ``{"epochs": n}``, before the average begins; absent: three quarters of
    the epochs, as in the paper. Early stopping may end training before."""
    every: Length = Epochs(epochs=1)
    """Steps, or ``{"epochs": n}``, between two weights that are taken."""
    recomputes_statistics: ClassVar[bool] = True

    def begin(self, epochs: int, steps_per_epoch: int) -> float:
        """Return the step after which weights are first taken."""
        start = self.start
        if start is None:
            return max(1, epochs * 3 // 4) * steps_per_epoch
        return steps_of(start, steps_per_epoch)

    def period(self, steps_per_epoch: int) -> float:
        """Return the steps from one taking to the next."""
        return max(1.0, steps_of(self.every, steps_per_epoch))

    def share(self, taken: int) -> float:
        """Return the share of the newest weights, `taken` earlier ones being in."""
        return 1 / (taken + 1)


Averaging = Annotated[
    Annotated[
        NoAveraging | ExponentialMovingAverage | StochasticWeightAveraging,
        Field(discriminator="kind"),
    ],
    Named,
]
