"""Learning-rate schedules. Add one: write its class, name it in ``Schedule`` below.

A schedule is a pure function: ``factor(step, steps_per_epoch)`` is what the learning
rate is multiplied by at that step, counted from 0. So there is nothing to save.
"""

from bisect import bisect_right
from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Coefficient, Count, Fraction, Named, Rate, Spec


class Epochs(Spec):
    """A length told in passes over the training rows."""

    epochs: Annotated[float, Field(gt=0, le=1e6)]
    """Number of passes; a fraction of one is allowed."""


Length = Count | Epochs
"""A length in steps, or ``{"epochs": n}``."""


def steps_of(length: int | Epochs, steps_per_epoch: int) -> float:
    """Return a length in steps."""
    if isinstance(length, Epochs):
        return length.epochs * steps_per_epoch
    return float(length)


class NoSchedule(Spec):
    """Keep the learning rate as it is, the practical guide's default."""

    kind: Literal["none"] = "none"

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return 1."""
        return 1.0


class Constant(Spec):
    """Keep the learning rate as it is."""

    kind: Literal["constant"] = "constant"

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return 1."""
        return 1.0


class PiecewiseConstant(Spec):
    """Change the rate at given steps: the old way, tuned by hand."""

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
        return self

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the factor of the last boundary that was reached."""
        reached = bisect_right(
            [steps_of(length, steps_per_epoch) for length in self.boundaries], step
        )
        return self.factors[reached - 1] if reached else 1.0


class Exponential(Spec):
    """Divide the rate evenly: decay_rate^(t / decay_steps).

    Compared with performance-based and power scheduling by Senior et al. (2013).
    """

    kind: Literal["exponential"] = "exponential"
    decay_steps: Length = 10_000
    """After this many steps the factor has fallen by `decay_rate` once."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor reached after `decay_steps`."""
    staircase: bool = False
    """Whether to fall in jumps, at whole multiples of `decay_steps`."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return decay_rate to the power of the steps over `decay_steps`."""
        exponent = step / steps_of(self.decay_steps, steps_per_epoch)
        return float(self.decay_rate ** (exponent // 1 if self.staircase else exponent))


class Power(Spec):
    """Fall ever more slowly: (1 + t / r)^-c, after Senior et al. (2013)."""

    kind: Literal["power"] = "power"
    decay_steps: Length = 10_000
    """The r of the formula: with c = 1 the rate is halved here."""
    exponent: Rate = 1.0
    """The c of the formula."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return (1 + t / r)^-c."""
        ratio = step / steps_of(self.decay_steps, steps_per_epoch)
        return float((1 + ratio) ** -self.exponent)


class Polynomial(Spec):
    """Fall to a final factor along a polynomial, then stay there."""

    kind: Literal["polynomial"] = "polynomial"
    decay_steps: Length = 10_000
    """Steps until the final factor is reached."""
    exponent: Rate = 1.0
    """1 is a straight line."""
    final_factor: Fraction = 0.0
    """Factor at the end and after it."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the polynomial between 1 and the final factor."""
        left = max(0.0, 1 - step / steps_of(self.decay_steps, steps_per_epoch))
        return float(self.final_factor + (1 - self.final_factor) * left**self.exponent)


class Cosine(Spec):
    """Fall along half a cosine, after Loshchilov and Hutter (2017), equation 5."""

    kind: Literal["cosine"] = "cosine"
    decay_steps: Length = 10_000
    """Steps until the final factor is reached."""
    final_factor: Fraction = 0.0
    """Factor at the end and after it."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the half cosine between 1 and the final factor."""
        passed = min(1.0, step / steps_of(self.decay_steps, steps_per_epoch))
        return self.final_factor + (1 - self.final_factor) * (1 + cos(pi * passed)) / 2


Schedule = Annotated[
    Annotated[
        NoSchedule
        | Constant
        | PiecewiseConstant
        | Exponential
        | Power
        | Polynomial
        | Cosine,
        Field(discriminator="kind"),
    ],
    Named,
]
