"""What every schedule says about itself; the schedules are in ``schedules.py``."""

from typing import Annotated, Self

from pydantic import Field

from trainer.spec.base import Nullable, Off, Spec
from trainer.spec.lengths import Length, steps_of


class Curve(Spec):
    """A course of the learning rate: pure functions of the step, counted from 0."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return what the optimizer's learning rate is multiplied by at a step."""
        raise NotImplementedError

    def rate(self, initial: float, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate at a step; `initial` is the optimizer's own."""
        return initial * self.factor(step, steps_per_epoch)

    def momentum(self, step: int, steps_per_epoch: int) -> float | None:
        """Return the momentum at a step; None: the optimizer's own."""
        return None

    def filled(self, epochs: int) -> Self:
        """Return the schedule with what follows from the job's length filled in."""
        return self


class Schedulable(Curve):
    """A course that a linear warm-up may precede.

    The schedule proper begins when the warm-up is over: its lengths count from there.
    """

    warmup: Annotated[Length | Off, Nullable] = "none"
    """Length of a linear warm-up before the schedule, after Goyal et al. (2017),
    section 2.2."""
    warmup_factor: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Factor that the warm-up begins at; it ends at 1."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the warm-up's factor, then that of the schedule."""
        if self.warmup == "none":
            return self.curve(step, steps_per_epoch)
        length = steps_of(self.warmup, steps_per_epoch)
        if step >= length:
            return self.curve(step - length, steps_per_epoch)
        warm = self.warmup_factor + (1 - self.warmup_factor) * step / length
        return warm * self.curve(0, steps_per_epoch)

    def momentum(self, step: int, steps_per_epoch: int) -> float | None:
        """Return the momentum of the schedule proper, at its beginning in a warm-up."""
        length = 0.0
        if self.warmup != "none":
            length = steps_of(self.warmup, steps_per_epoch)
        return self.momentum_curve(max(0.0, step - length), steps_per_epoch)

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the factor of the schedule proper, `step` after the warm-up."""
        raise NotImplementedError

    def momentum_curve(self, step: float, steps_per_epoch: int) -> float | None:
        """Return the momentum, `step` after the warm-up; None: the optimizer's own."""
        return None
