"""Schedules, against their formulas, torch's own and what a training makes of them."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    OneCycleLR,
    ReduceLROnPlateau,
)

from trainer.spec.base import variants
from trainer.spec.schedules import (
    Constant,
    Exponential,
    InverseTime,
    NoSchedule,
    PiecewiseConstant,
    Polynomial,
    Power,
    Schedule,
)
from trainer.spec.schedules.curve import Schedulable
from trainer.spec.schedules.cycles import Cosine, CosineRestarts, OneCycle
from trainer.spec.schedules.lengths import Epochs
from trainer.spec.schedules.measured import Performance, Plateau, RangeTest

PIECES: dict[str, Any] = {"boundaries": (10, 20), "factors": (0.5, 0.1)}
WARMED = [m for m in variants(Schedule) if issubclass(m, Schedulable)]


def made(member: Any, **fields: Any) -> Any:
    """Return a schedule of that class with what it cannot do without."""
    return member(**(PIECES if member is PiecewiseConstant else {}), **fields)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (NoSchedule(), {0: 1, 1000: 1}),
        (Constant(), {0: 1, 1000: 1}),
        (Exponential(decay_steps=100), {0: 1, 50: 10**-0.5, 100: 0.1, 200: 0.01}),
        (
            Exponential(decay_steps=100, staircase=True),
            {0: 1, 99: 1, 100: 0.1, 199: 0.1, 200: 0.01},
        ),
        (Exponential(decay_steps=Epochs(epochs=2)), {0: 1, 20: 0.1, 40: 0.01}),
        (
            InverseTime(decay_steps=100, decay_rate=0.5),
            {0: 1, 50: 1 / 1.25, 100: 1 / 1.5, 400: 1 / 3},
        ),
        (
            InverseTime(decay_steps=100, decay_rate=0.5, staircase=True),
            {0: 1, 99: 1, 100: 1 / 1.5, 199: 1 / 1.5, 200: 1 / 2},
        ),
        (Power(decay_steps=100), {0: 1, 100: 1 / 2, 300: 1 / 4}),
        (Power(decay_steps=100, exponent=2.0), {100: 1 / 4}),
        (PiecewiseConstant(**PIECES), {9: 1, 10: 0.5, 19: 0.5, 20: 0.1, 1000: 0.1}),
        (Polynomial(decay_steps=100, final_factor=0.2), {0: 1, 50: 0.6, 200: 0.2}),
        (Polynomial(decay_steps=100, exponent=2.0), {0: 1, 50: 0.25, 100: 0}),
        (Cosine(decay_steps=100), {0: 1, 50: 0.5, 100: 0, 500: 0}),
        (Cosine(decay_steps=100, final_factor=0.2), {0: 1, 50: 0.6, 100: 0.2}),
        (
            CosineRestarts(first_period=100, final_factor=0.2, peak_multiplier=0.5),
            # periods of 100, 200 and 400 steps with peaks 1, 1/2 and 1/4
            {0: 1, 50: 0.6, 100: 0.5, 200: 0.3, 300: 0.25, 500: 0.15, 700: 0.125},
        ),
        (
            CosineRestarts(first_period=100, period_multiplier=1.0),
            {0: 1, 50: 0.5, 100: 1, 150: 0.5, 100_000: 1},
        ),
        (
            # the peak is at 0.3 x 100 - 1 = 29, the end at 99
            OneCycle(cycle_steps=100, final_divisor=100.0, annealing="linear"),
            {0: 0.04, 14.5: 0.52, 29: 1, 64: 0.505, 99: 0.01, 500: 0.01},
        ),
        (
            OneCycle(cycle_steps=100, final_divisor=100.0),
            {0: 0.04, 14.5: 0.52, 29: 1, 64: 0.505, 99: 0.01, 500: 0.01},
        ),
        (Performance(), {0: 1, 1000: 1}),
        (RangeTest(minimum=0.001, maximum=10.0, steps=101), {0: 1, 50: 100, 100: 1e4}),
    ],
)
def test_a_schedule_has_the_factors_of_its_formula(
    schedule: Any, expected: dict[Any, float]
) -> None:
    found = {step: schedule.factor(step, steps_per_epoch=10) for step in expected}

    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("member", variants(Schedule))
def test_a_schedule_never_asks_for_a_negative_rate(member: Any) -> None:
    schedule = made(member).filled(10)

    rates = [schedule.rate(0.1, step, steps_per_epoch=7) for step in range(100)]

    assert min(rates) >= 0


@pytest.mark.parametrize("member", WARMED)
@pytest.mark.parametrize("length", [4, Epochs(epochs=2)])
def test_a_warm_up_comes_before_any_schedule(member: Any, length: Any) -> None:
    warm = made(member, warmup=length, warmup_factor=0.2).filled(10)
    steps = 4 if length == 4 else 14
    cold = made(member).filled(10 if length == 4 else 8)  # one_cycle: what is left

    rising = [warm.factor(step, 7) for step in range(steps)]
    after = [warm.factor(steps + step, 7) for step in range(30)]

    start = cold.factor(0, 7)
    straight = [start * (0.2 + 0.8 * step / steps) for step in range(steps)]
    assert rising == pytest.approx(straight, rel=1e-12)
    assert after == pytest.approx([cold.factor(step, 7) for step in range(30)])


def test_a_warm_up_is_off_unless_asked_for() -> None:
    given = Cosine.model_validate({"warmup": None, "decay_steps": 10})

    assert given.warmup is None
    assert Cosine.model_validate({"warmup": "none", "decay_steps": 10}) == given
    assert given.factor(0, 1) == 1


def test_a_piecewise_schedule_wants_a_factor_for_each_boundary() -> None:
    with pytest.raises(ValidationError, match="2 boundaries need as many factors"):
        PiecewiseConstant(boundaries=(1, 2), factors=(0.5,))


def test_boundaries_that_do_not_increase_are_refused() -> None:
    with pytest.raises(ValidationError, match="boundaries increase; 3 comes after 5"):
        PiecewiseConstant(boundaries=(5, 3), factors=(0.5, 0.1))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"kind": "range_test", "minimum": 1.0, "maximum": 0.1}, "not below maximum"),
        (
            {"kind": "one_cycle", "minimum_momentum": 0.97},
            "minimum_momentum 0.97 is above",
        ),
        ({"kind": "range_test", "warmup": 10}, "extra"),
        ({"kind": "cosine", "warmup": 0}, "warmup"),
    ],
)
def test_a_schedule_refuses_what_makes_no_sense(given: Any, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        TypeAdapter(Schedule).validate_python(given)


def optimizer(learning_rate: float, **fields: Any) -> torch.optim.SGD:
    """Return torch's optimizer of one number, for torch's schedules."""
    number = torch.nn.Parameter(torch.zeros(()))
    number.grad = torch.zeros(())
    return torch.optim.SGD([number], lr=learning_rate, **fields)


@pytest.mark.parametrize("annealing", ["cosine", "linear"])
def test_one_cycle_is_that_of_torch(annealing: Any) -> None:
    ours = OneCycle(cycle_steps=50, rising=0.4, annealing=annealing)
    group = optimizer(0.3, momentum=0.5)
    theirs = OneCycleLR(
        group,
        max_lr=0.3,
        total_steps=50,
        pct_start=0.4,
        anneal_strategy="cos" if annealing == "cosine" else "linear",
        div_factor=25,
        final_div_factor=10_000
        / 25,  # torch counts from the first rate, we from the peak
    )

    expected = []
    for _ in range(49):
        now = group.param_groups[0]
        expected.append((now["lr"], now["momentum"]))
        group.step()
        theirs.step()

    found = [(ours.rate(0.3, s, 1), ours.momentum(s, 1)) for s in range(49)]
    assert found == [pytest.approx(pair, rel=1e-9) for pair in expected]


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_cosine_restarts_are_those_of_torch(multiplier: int) -> None:
    ours = CosineRestarts(
        first_period=7, period_multiplier=float(multiplier), final_factor=0.1
    )
    group = optimizer(0.3)
    theirs = CosineAnnealingWarmRestarts(group, 7, multiplier, eta_min=0.03)

    expected = []
    for _ in range(150):
        expected.append(group.param_groups[0]["lr"])
        group.step()
        theirs.step()

    assert [ours.rate(0.3, s, 1) for s in range(150)] == pytest.approx(expected)


@pytest.mark.parametrize("multiplier", [1.1, 2.0, 3.0, 7.0])
def test_a_period_begins_at_the_peak_however_late(multiplier: float) -> None:
    schedule = CosineRestarts(first_period=1, period_multiplier=multiplier)
    starts = [(multiplier**n - 1) / (multiplier - 1) for n in range(18)]

    peaks = [schedule.curve(start + 1e-6, 1) for start in starts]

    assert peaks == pytest.approx([1.0] * 18, abs=1e-5)


def followed(schedule: Performance, values: Any, *, falls: bool) -> list[float]:
    """Return the factor after each evaluation."""
    past, factors = Plateau(), []
    for value in values:
        past = schedule.after(past, value, falls=falls)
        factors.append(past.factor)
    return factors


@pytest.mark.parametrize(
    ("values", "factors"),
    [
        # 3 is no improvement by more than 0.1 on 3.05: two such evaluations halve
        ([4, 3.05, 3.0, 3.0, 2.0, 2.0, 2.0], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
        ([4, None, None, 4, 4], [1, 1, 0.5, 0.5, 0.25]),
        ([4, 4, 4, 4, 4, 4, 4], [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2]),
    ],
)
def test_the_rate_is_reduced_when_a_metric_stops_improving(
    values: Any, factors: Any
) -> None:
    schedule = Performance(
        reduction_factor=0.5, patience=2, minimum_change=0.1, minimum_factor=0.2
    )

    assert followed(schedule, values, falls=True) == pytest.approx(factors)
    rising = [None if value is None else -value for value in values]
    assert followed(schedule, rising, falls=False) == pytest.approx(factors)


@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_reductions_are_those_of_torch(cooldown: int, mode: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(200, generator=generator).tolist()
    group = optimizer(1.0)
    theirs = ReduceLROnPlateau(
        group,
        mode,
        factor=0.7,
        patience=2,  # torch waits for one more than its patience
        threshold=0.01,
        threshold_mode="abs",
        cooldown=cooldown,
        eps=0,
    )
    ours = Performance(
        reduction_factor=0.7, patience=3, minimum_change=0.01, cooldown=cooldown
    )

    expected = []
    for value in values:
        theirs.step(value)
        expected.append(group.param_groups[0]["lr"])

    found = followed(ours, values, falls=mode == "min")
    assert found == pytest.approx(expected)
    assert found[-1] < 0.01
