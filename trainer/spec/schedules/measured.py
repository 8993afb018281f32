"""Schedules that look at how training goes; named in the union of ``schedules.py``."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainer.spec.base import Coefficient, Count, Fraction, Rate
from trainer.spec.schedules.curve import Curve, Schedulable


@dataclass(frozen=True)
class Plateau:
    """What the evaluations up to now have come to; numbers that survive JSON."""

    factor: float = 1.0
    """What the learning rate is multiplied by."""
    best: float | None = None
    """Best value of the monitored metric."""
    waited: int = 0
    """Evaluations without improvement since then, or since the last reduction."""
    cooling: int = 0
    """Evaluations still to come that are not counted."""


class Performance(Schedulable):
    """Reduce the rate when a metric stops improving, after Senior et al. (2013).

    Their section 2.1, Keras' ``ReduceLROnPlateau``. It looks at every evaluation: every
    so many steps or epochs, as `training.evaluate_every` says. The factor is a function
    of the values measured so far; with the warm-up's it multiplies.
    """

    kind: Literal["performance"] = "performance"
    monitor: str = Field(default="validation_loss", max_length=100)
    """Name of the metric; losses and errors shall fall, all others rise."""
    reduction_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What the rate is multiplied by at each reduction."""
    patience: Count = 5
    """Evaluations without improvement after which the rate is reduced; less than that
    of early stopping, or it will never happen."""
    minimum_change: Coefficient = 1e-4
    """Smaller changes do not count as improvement."""
    cooldown: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Evaluations after a reduction that are not counted."""
    minimum_factor: Fraction = 0.0
    """The rate never falls below this share of the first."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return 1: the rest is in `after`."""
        return 1.0

    def after(self, past: Plateau, value: float | None, *, falls: bool) -> Plateau:
        """Return what one more evaluation makes of the past.

        A metric that cannot be told counts as no improvement. The order of the rules
        is that of torch's ``ReduceLROnPlateau``.
        """
        if value is not None and self._better(past.best, value, falls=falls):
            now = replace(past, best=value, waited=0)
        else:
            now = replace(past, waited=past.waited + 1)
        if now.cooling:
            return replace(now, cooling=now.cooling - 1, waited=0)
        if now.waited < self.patience:
            return now
        factor = max(now.factor * self.reduction_factor, self.minimum_factor)
        return replace(now, factor=factor, waited=0, cooling=self.cooldown)

    def _better(self, best: float | None, value: float, *, falls: bool) -> bool:
        if best is None:
            return True
        gain = best - value if falls else value - best
        return gain > self.minimum_change


class RangeTest(Curve):
    """Find a learning rate: let it grow until training breaks, after Smith (2017).

    The rate grows by the same factor at every step. The job ends after `steps` steps,
    or when the smoothed loss is 4 times its lowest, or is no number; it has no epochs,
    evaluations or early stopping, and afterwards the network is what it was before.
    Every step is in the metrics as `range_test_loss` and `learning_rate`. The event
    ``diagnostic`` with the code ``suggested_learning_rate`` has the curve, a proposal
    and a patch that puts it into the spec and takes the test out.
    """

    kind: Literal["range_test"] = "range_test"
    minimum: Annotated[float, Field(ge=1e-12, le=1e6)] = 1e-6
    """Learning rate of the first step; the optimizer's own is not used."""
    maximum: Rate = 10.0
    """Learning rate of the last step."""
    steps: Annotated[int, Field(ge=10, le=10_000)] = 100
    """Steps from the minimum to the maximum."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(
                f"minimum {self.minimum:g} is not below maximum {self.maximum:g}"
            )
        return self

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return how many times the minimum the rate has become."""
        passed = step / (self.steps - 1)
        return float((self.maximum / self.minimum) ** passed)

    def rate(self, initial: float, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate at a step."""
        return self.minimum * self.factor(step, steps_per_epoch)
