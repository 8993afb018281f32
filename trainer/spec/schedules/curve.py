"""What every schedule says about itself; the schedules are in ``schedules.py``."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from trainer.spec.base import Spec
from trainer.spec.schedules.lengths import Length, steps_of

WARMUP_FACTOR = 0.1


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


def _absent_if_off(value: object) -> object:
    return None if value == "none" else value


class Schedulable(Curve):
    """A course that a linear warm-up may precede.

    The schedule proper begins when the warm-up is over: its lengths count from there.
    """

    warmup: Annotated[Length | None, BeforeValidator(_absent_if_off)] = None
    """Length of a linear warm-up before the schedule, after Goyal et al. (2017),
    section 2.2; absent: none."""
    warmup_factor: Annotated[float, Field(ge=0, le=1)] | None = None
    """Factor that the warm-up begins at, to end at 1; absent: 0.1."""

    def filled(self, epochs: int) -> Self:
        """Return the schedule with the factor of its warm-up, if it has one."""
        if self.warmup is None or self.warmup_factor is not None:
            return self
        return self.model_copy(update={"warmup_factor": WARMUP_FACTOR})

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the warm-up's factor, then that of the schedule."""
        length = self._warmup_steps(steps_per_epoch)
        if step >= length:
            return self.curve(step - length, steps_per_epoch)
        least = WARMUP_FACTOR if self.warmup_factor is None else self.warmup_factor
        warm = least + (1 - least) * step / length
        return warm * self.curve(0, steps_per_epoch)

    def momentum(self, step: int, steps_per_epoch: int) -> float | None:
        """Return the momentum of the schedule proper, at its beginning in a warm-up."""
        length = self._warmup_steps(steps_per_epoch)
        return self.momentum_curve(max(0, step - length), steps_per_epoch)

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the factor of the schedule proper, `step` after the warm-up."""
        raise NotImplementedError

    def momentum_curve(self, step: float, steps_per_epoch: int) -> float | None:
        """Return the momentum, `step` after the warm-up; None: the optimizer's own."""
        return None

    def _warmup_steps(self, steps_per_epoch: int) -> float:
        return 0 if self.warmup is None else steps_of(self.warmup, steps_per_epoch)
