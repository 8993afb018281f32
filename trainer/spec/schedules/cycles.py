"""Schedules along a cosine or in cycles; named in the union of ``schedules.py``."""

from math import cos, floor, log, pi
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainer.spec.base import Fraction
from trainer.spec.schedules.curve import Schedulable
from trainer.spec.schedules.lengths import Epochs, Length, steps_of

Share = Annotated[float, Field(gt=0, lt=1)]
Divisor = Annotated[float, Field(ge=1, le=1e12)]


class Cosine(Schedulable):
    """Fall along half a cosine, after Loshchilov and Hutter (2017), equation 5."""

    kind: Literal["cosine"] = "cosine"
    decay_steps: Length = 10_000
    """Steps until the final factor is reached."""
    final_factor: Fraction = 0.0
    """Factor at the end and after it."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the half cosine between 1 and the final factor."""
        passed = min(1.0, step / steps_of(self.decay_steps, steps_per_epoch))
        return self.final_factor + (1 - self.final_factor) * (1 + cos(pi * passed)) / 2


class CosineRestarts(Schedulable):
    """Fall along a cosine again and again: SGDR, after Loshchilov and Hutter (2017).

    Section 3: each period begins at the full rate, or at a smaller peak, and lasts
    `period_multiplier` times as long as the one before.
    """

    kind: Literal["cosine_restarts"] = "cosine_restarts"
    first_period: Length = 1000
    """Steps of the first period."""
    period_multiplier: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """Length of each period over that of the one before; 1: all are alike."""
    peak_multiplier: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Peak of each period over that of the one before."""
    final_factor: Fraction = 0.0
    """Factor at the end of each period, as a share of the period's peak."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the half cosine of the period that the step is in."""
        periods = step / steps_of(self.first_period, steps_per_epoch)
        number, passed = self._place(periods)
        fall = self.final_factor + (1 - self.final_factor) * (1 + cos(pi * passed)) / 2
        return float(self.peak_multiplier**number * fall)

    def _place(self, periods: float) -> tuple[int, float]:
        """Return the number of the period, from 0, and the share of it that is over.

        `periods` counts in lengths of the first one: period i begins at
        1 + m + … + m^(i-1) = (m^i - 1) / (m - 1).
        """
        m = self.period_multiplier
        if m == 1:
            return floor(periods), periods % 1
        number = floor(log(1 + periods * (m - 1)) / log(m))
        number += self._begins(number + 1) <= periods  # the logarithm was rounded
        number -= self._begins(number) > periods
        return number, (periods - self._begins(number)) / m**number

    def _begins(self, number: int) -> float:
        m = self.period_multiplier
        return float((m**number - 1) / (m - 1))


class OneCycle(Schedulable):
    """Rise to the optimizer's learning rate, then fall far below, after Smith (2018).

    Section 4.1 of "A disciplined approach": large rates in the middle regularise and
    shorten training. The optimizer's momentum (of Adam and its relatives: beta1) goes
    the other way; an optimizer without one keeps what it has. As torch's ``OneCycleLR``
    the last of the steps has the final rate.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    cycle_steps: Length | None = None
    """Steps of the cycle, after which the rate stays; absent: all epochs, less those
    of a warm-up that is told in epochs."""
    rising: Share = 0.3
    """Share of the steps in which the rate rises."""
    initial_divisor: Divisor = 25.0
    """The peak over the rate at the beginning."""
    final_divisor: Divisor = 10_000.0
    """The peak over the rate at the end."""
    annealing: Literal["cosine", "linear"] = "cosine"
    """Form of the rise and of the fall; the paper's is linear."""
    cycle_momentum: bool = True
    """Whether the momentum changes as well."""
    minimum_momentum: Share = 0.85
    """Momentum where the rate is highest."""
    maximum_momentum: Share = 0.95
    """Momentum at the beginning and at the end."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum_momentum > self.maximum_momentum:
            raise ValueError(
                f"minimum_momentum {self.minimum_momentum:g} is above "
                f"maximum_momentum {self.maximum_momentum:g}"
            )
        return self

    def filled(self, epochs: int) -> Self:
        """Return the schedule with its length: all epochs, less the warm-up's."""
        whole = super().filled(epochs)
        if self.cycle_steps is not None:
            return whole
        if isinstance(self.warmup, Epochs) and self.warmup.epochs < epochs:
            epochs_left = epochs - self.warmup.epochs
        else:
            epochs_left = float(epochs)
        return whole.model_copy(update={"cycle_steps": Epochs(epochs=epochs_left)})

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the factor in the cycle."""
        low, end = 1 / self.initial_divisor, 1 / self.final_divisor
        return self._between(step, steps_per_epoch, (low, 1.0, end))

    def momentum_curve(self, step: float, steps_per_epoch: int) -> float | None:
        """Return the momentum in the cycle."""
        if not self.cycle_momentum:
            return None
        high, low = self.maximum_momentum, self.minimum_momentum
        return self._between(step, steps_per_epoch, (high, low, high))

    def _between(
        self, step: float, steps_per_epoch: int, values: tuple[float, float, float]
    ) -> float:
        """Return the value at a step from those at the beginning, peak and end."""
        steps = steps_of(self.cycle_steps or 1, steps_per_epoch)
        peak = max(self.rising * steps - 1, 0.0)
        if step < peak:
            return self._anneal(values[0], values[1], step / peak)
        passed = (step - peak) / max(steps - 1 - peak, 1e-9)
        return self._anneal(values[1], values[2], min(1.0, passed))

    def _anneal(self, start: float, end: float, passed: float) -> float:
        if self.annealing == "cosine":
            passed = (1 - cos(pi * passed)) / 2
        return start + (end - start) * passed
