"""A training that is a learning-rate range test, and the rate that it proposes.

After Smith (2017), Cyclical learning rates for training neural networks, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log10, sqrt
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from trainer.doctor.findings import Finding
from trainer.spec.schedules.measured import RangeTest
from trainer.training import Row, Training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.doctor.doctor import Doctor
    from trainer.spec.training import Training as Recipe
    from trainer.training import Material

CODE = "suggested_learning_rate"
SHARE = 0.9
"""Share of the earlier losses that is kept when they are smoothed on the way."""
BROKEN = 4.0
"""A smoothed loss so many times its lowest ends the test."""
WINDOW_SHARE = 15
"""Afterwards a loss is the mean of about a fifteenth of the steps around it."""
CLEAR = 6.0
"""So many standard errors of a mean must the loss have fallen."""
DIVISOR = 2.0
"""The proposal is so many times below the rate where the loss falls fastest: at the
growing rates of the test every rate is only tried for a moment."""
POINTS = 200
"""Points of the curve that are told at most."""


@dataclass(frozen=True)
class Point:
    """One step of the test."""

    learning_rate: float
    loss: float


class RangeTesting:
    """Watches the loss while the rate grows; then gives the weights back.

    The loss of every step is read, which waits for the device: a test has few steps,
    and it has to end at the same step wherever it runs.
    """

    def __init__(self, wish: RangeTest, weights: Mapping[str, Tensor]) -> None:
        self.wish = wish
        self.before = {
            name: tensor.detach().clone() for name, tensor in weights.items()
        }
        self.points: list[Point] = []
        self._broken = False
        self._sum = 0.0
        self._lowest: float | None = None

    @property
    def over(self) -> bool:
        """Return whether the test has ended."""
        return self._broken or len(self.points) >= self.wish.steps

    def note(self, learning_rate: float, loss: Tensor) -> dict[str, float]:
        """Take note of a step; return its figures, none if the loss is no number."""
        value = float(loss)
        if not isfinite(value):
            self._broken = True
            return {}
        self.points.append(Point(learning_rate, value))
        self._sum = SHARE * self._sum + (1 - SHARE) * value
        smoothed = self._sum / (1 - SHARE ** len(self.points))
        if self._lowest is None or smoothed < self._lowest:
            self._lowest = smoothed
        self._broken = smoothed > BROKEN * self._lowest
        return {"range_test_loss": value, "learning_rate": learning_rate}

    def put_back(self, weights: Mapping[str, Tensor]) -> None:
        """Give the network the values that it had before the test."""
        with torch.no_grad():
            for name, tensor in self.before.items():
                weights[name].copy_(tensor)

    def suggestion(self) -> float | None:
        """Return a learning rate to train with; None if the loss never fell."""
        return suggested(self.points)

    def finding(self, recipe: Recipe, step: int, epoch: int) -> Finding:
        """Return what the test has found, ready to be told."""
        rate = self.suggestion()
        curve = [vars(point) for point in thinned(self.points)]
        return Finding(
            code=CODE,
            layer=None,
            severity="info",
            detail=_detail(rate, self.wish),
            evidence={"curve": curve},
            patch=None if rate is None else _patch(recipe, rate),
            step=step,
            epoch=epoch,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs to go on with the test."""
        points = [[point.learning_rate, point.loss] for point in self.points]
        return self.before, {
            "points": points,
            "broken": self._broken,
            "sum": self._sum,
            "lowest": self._lowest,
        }

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.before = dict(tensors)
        self.points = [Point(*pair) for pair in numbers["points"]]
        self._broken, self._sum = numbers["broken"], numbers["sum"]
        self._lowest = numbers["lowest"]


class RangeTestTraining(Training):
    """A training whose rate grows from step to step, until it breaks on purpose.

    So nothing of it is evaluated on the way, no doctor looks on, and a loss that is no
    number is its end and no failure.
    """

    def __init__(self, material: Material, wish: RangeTest) -> None:
        super().__init__(material)
        self.range_test = RangeTesting(wish, self.moving())
        self.memories["range_test"] = self.range_test

    def attach(self, doctor: Doctor) -> None:
        """Let no doctor look on."""

    @property
    def steps(self) -> int:
        """Return the number of steps, if the loss does not end the test before."""
        return self.range_test.wish.steps

    @property
    def over(self) -> bool:
        """Return whether the test has ended."""
        return self.range_test.over

    def follow(self, loss: Tensor, rows: int) -> tuple[Row, ...]:
        """Count a step whose mean loss is given; return its figures."""
        rate, epoch = self.learning_rate(), self.epoch
        self.advance(rows)
        found = self.range_test.note(rate, loss)
        return tuple(Row(self.step, epoch, n, value) for n, value in found.items())

    def check(self) -> None:
        """Let the loss be no number."""

    def settle(self) -> tuple[Row, ...]:
        """Give the network its values back and return the learning rate proposed."""
        self.range_test.put_back(self.moving())
        self.final |= self.validated()
        rate = self.range_test.suggestion()
        if rate is None:
            return ()
        self.final[CODE] = rate
        return (Row(self.step, self.last_epoch, CODE, rate),)

    def findings(self) -> tuple[Finding, ...]:
        """Return the rate proposed, with the curve."""
        return (self.range_test.finding(self.recipe, self.step, self.last_epoch),)


def training_of(material: Material) -> Training:
    """Return the training of a material: its schedule may make it a range test."""
    schedule = material.recipe.schedule
    if isinstance(schedule, RangeTest):
        return RangeTestTraining(material, schedule)
    return Training(material)


def suggested(points: Sequence[Point]) -> float | None:
    """Return half the rate at which the loss falls fastest; None if it does not fall.

    Every loss is replaced by the mean of those around it; of the steps between the last
    at the level of the beginning and the lowest, the one is taken where the mean falls
    fastest over the logarithm of the rate. The whole fall has to be clear of the noise
    from step to step.
    """
    reach = max(1, len(points) // (2 * WINDOW_SHARE))
    losses = [point.loss for point in points]
    means = [
        fmean(losses[max(0, i - reach) : i + reach + 1]) for i in range(len(points))
    ]
    if len(means) <= 2 * reach:
        return None
    last = min(range(len(means)), key=means.__getitem__)
    noise = _noise(losses[: last + 1]) / sqrt(2 * reach + 1)
    if last < 2 * reach or means[0] - means[last] <= CLEAR * noise:
        return None
    # before it no step has done any good, and a fall is chance
    start = max(i for i in range(last + 1) if means[i] >= means[0] - noise)
    first = max(reach, min(start, last - reach))
    falls = {
        i: means[i + reach] - means[i - reach]
        for i in range(first, last + 1)
        if i + reach <= last
    }
    steepest = min(falls, key=falls.__getitem__)
    return rounded(points[steepest].learning_rate / DIVISOR)


def _noise(losses: Sequence[float]) -> float:
    """Return the deviation of the losses about their course, from the differences."""
    squares = [(after - before) ** 2 for before, after in pairwise(losses)]
    return sqrt(fmean(squares) / 2) if squares else 0.0


def rounded(rate: float) -> float:
    """Return a rate with two digits: nobody should believe more of them."""
    return float(f"{rate:.2g}")


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most 200 of the points, evenly spaced, with the first and the last."""
    if len(points) <= POINTS:
        return list(points)
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(number * step)] for number in range(POINTS)]


def _detail(rate: float | None, wish: RangeTest) -> str:
    decades = log10(wish.maximum / wish.minimum)
    if rate is None:
        return (
            f"the loss did not fall between the rates {wish.minimum:g} and "
            f"{wish.maximum:g}: widen the range, or ask the doctor about the network"
        )
    return (
        f"train with a learning rate of {rate:g}: half the rate at which the loss, "
        f"averaged over neighbouring steps, fell fastest while the rate grew over "
        f"{decades:.3g} decades"
    )


def _patch(recipe: Recipe, rate: float) -> dict[str, Any]:
    """Return a JSON Merge Patch that sets the rate and takes the test out."""
    optimizer = {"kind": recipe.optimizer.kind, "learning_rate": rate}
    return {"training": {"optimizer": optimizer, "schedule": None}}
