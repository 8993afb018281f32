"""Learning-rate schedules. Add one: write its class, name it in ``Schedule`` below.

A schedule is a pure function: ``curve(step, steps_per_epoch)`` is what the learning
rate is multiplied by at that step, counted from 0 or from the end of the warm-up that
any of them may have. So there is nothing to save. The exception are those in
``measured.py``, which look at how training goes. Cosines and cycles are in
``cycles.py``.
"""

from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Coefficient, Fraction, Named, Rate
from trainer.spec.schedules.curve import Schedulable
from trainer.spec.schedules.cycles import Cosine, CosineRestarts, OneCycle
from trainer.spec.schedules.lengths import Length, comparable, number, steps_of
from trainer.spec.schedules.measured import Performance, RangeTest


class NoSchedule(Schedulable):
    """Keep the learning rate as it is, the practical guide's default."""

    kind: Literal["none"] = "none"

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return 1."""
        return 1.0


class Constant(Schedulable):
    """Keep the learning rate as it is."""

    kind: Literal["constant"] = "constant"

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return 1."""
        return 1.0


class PiecewiseConstant(Schedulable):
    """Change the rate at given steps, after Krizhevsky et al. (2012), section 5.

    The old way: they divided by 10 by hand when the validation error stood still.
    """

    kind: Literal["piecewise_constant"] = "piecewise_constant"
    boundaries: tuple[Length, ...] = Field(min_length=1, max_length=1000)
    """Where the factor changes, increasing."""
    factors: tuple[Coefficient, ...] = Field(min_length=1, max_length=1000)
    """Factor after each boundary; before the first it is 1."""

    @model_validator(mode="after")
    def _one_factor_each(self) -> "PiecewiseConstant":
        if len(self.factors) != len(self.boundaries):
            raise ValueError(
                f"{len(self.boundaries)} boundaries need as many factors, "
                f"{len(self.factors)} are given"
            )
        for before, after in pairwise(self.boundaries):
            if comparable(before, after) and number(before) >= number(after):
                raise ValueError(
                    f"boundaries increase; {number(after):g} comes after "
                    f"{number(before):g}"
                )
        return self

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the factor of the last boundary that was reached."""
        reached = bisect_right(
            [steps_of(length, steps_per_epoch) for length in self.boundaries], step
        )
        return self.factors[reached - 1] if reached else 1.0


class Exponential(Schedulable):
    """Divide the rate evenly: decay_rate^(t / decay_steps), after Senior et al. (2013).

    They found it as good as performance-based scheduling and quicker than power
    scheduling, with less to tune.
    """

    kind: Literal["exponential"] = "exponential"
    decay_steps: Length = 10_000
    """After this many steps the factor has fallen by `decay_rate` once."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor reached after `decay_steps`."""
    staircase: bool = False
    """Whether to fall in jumps, at whole multiples of `decay_steps`."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return decay_rate to the power of the steps over `decay_steps`."""
        exponent = step / steps_of(self.decay_steps, steps_per_epoch)
        return float(self.decay_rate ** (exponent // 1 if self.staircase else exponent))


class InverseTime(Schedulable):
    """Fall as 1 / (1 + decay_rate · t / decay_steps), after Robbins and Monro (1951).

    Their condition for convergence: rates of an infinite sum with a finite sum of
    squares. The same as Keras' ``InverseTimeDecay``.
    """

    kind: Literal["inverse_time"] = "inverse_time"
    decay_steps: Length = 10_000
    """Steps after which the denominator has grown by `decay_rate`."""
    decay_rate: Rate = 1.0
    """Growth of the denominator in `decay_steps`; with 1 the rate is halved there."""
    staircase: bool = False
    """Whether to fall in jumps, at whole multiples of `decay_steps`."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return one over one plus the rate times the steps over `decay_steps`."""
        passed = step / steps_of(self.decay_steps, steps_per_epoch)
        return 1 / (1 + self.decay_rate * (passed // 1 if self.staircase else passed))


class Power(Schedulable):
    """Fall ever more slowly: (1 + t / r)^-c, after Senior et al. (2013)."""

    kind: Literal["power"] = "power"
    decay_steps: Length = 10_000
    """The r of the formula: with c = 1 the rate is halved here."""
    exponent: Rate = 1.0
    """The c of the formula."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return (1 + t / r)^-c."""
        ratio = step / steps_of(self.decay_steps, steps_per_epoch)
        return float((1 + ratio) ** -self.exponent)


class Polynomial(Schedulable):
    """Fall to a final factor along a polynomial, after Chen et al. (2018), DeepLab.

    Section 4.1, there with the exponent 0.9; then the rate stays. 1 is a straight line.
    """

    kind: Literal["polynomial"] = "polynomial"
    decay_steps: Length = 10_000
    """Steps until the final factor is reached."""
    exponent: Rate = 1.0
    """1 is a straight line."""
    final_factor: Fraction = 0.0
    """Factor at the end and after it."""

    def curve(self, step: float, steps_per_epoch: int) -> float:
        """Return the polynomial between 1 and the final factor."""
        left = max(0.0, 1 - step / steps_of(self.decay_steps, steps_per_epoch))
        return float(self.final_factor + (1 - self.final_factor) * left**self.exponent)


Schedule = Annotated[
    Annotated[
        NoSchedule
        | Constant
        | PiecewiseConstant
        | Exponential
        | InverseTime
        | Power
        | Polynomial
        | Cosine
        | CosineRestarts
        | OneCycle
        | Performance
        | RangeTest,
        Field(discriminator="kind"),
    ],
    Named,
]
