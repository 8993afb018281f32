"""A learning-rate range test: its curve, its end, its proposal, and what it leaves."""

from itertools import pairwise
from math import exp, inf, log10, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tests.trainer import trainings
from tests.trainer.test_pacing import assert_resumes
from tests.trainer.trainings import DENSE, carry_out, order, pictures, spec
from trainer.data.dataset import Dataset, described
from trainer.spec.schedules.measured import RangeTest
from trainer.training.range_test import Point, RangeTesting, suggested, thinned

LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "units": 64},
    {"kind": "dense", "units": 32},
]
TEST: dict[str, Any] = {"kind": "range_test", "steps": 40}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Return the 8x8 digits as images."""
    found = load_digits()
    images = (found.images * 15.9).astype(np.uint8)
    columns = {"train": {"image": images, "label": found.target}}
    return described(Path("digits"), columns, "digits")


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def figures(events: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return the step and the value of one metric."""
    rows = [row for event in of_kind(events, "metrics") for row in event["rows"]]
    return [(row["step"], row["value"]) for row in rows if row["name"] == name]


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, digits: Dataset
) -> list[dict[str, Any]]:
    """Return the events of a test that reaches its last step, in its second epoch."""
    schedule = {"kind": "range_test", "maximum": 0.5, "steps": 20}
    wish = spec(LAYERS, schedule=schedule, batch_size=100)
    folder = tmp_path_factory.mktemp("models") / "tested"
    return list(carry_out(order(wish, model=folder), digits))


def test_the_rate_grows_by_one_factor_from_step_to_step(told: Any) -> None:
    rates = figures(told, "learning_rate")

    assert [step for step, _ in rates] == list(range(1, 21))
    assert rates[0][1] == pytest.approx(1e-6)
    assert rates[-1][1] == pytest.approx(0.5)
    factors = [after / before for (_, before), (_, after) in pairwise(rates)]
    assert factors == pytest.approx([(0.5 / 1e-6) ** (1 / 19)] * 19)


def test_the_loss_of_every_step_is_told(told: Any) -> None:
    losses = figures(told, "range_test_loss")

    assert [step for step, _ in losses] == list(range(1, 21))
    assert not figures(told, "validation_loss"), "nothing is evaluated on the way"
    assert of_kind(told, "progress")[-1]["steps"] == 20
    assert of_kind(told, "progress")[-1]["percent"] == 100


def test_the_finding_has_the_curve_and_a_patch(told: Any) -> None:
    (event,) = of_kind(told, "diagnostic")
    (suggestion,) = figures(told, "suggested_learning_rate")
    result = of_kind(told, "result")[0]

    assert event["code"] == "suggested_learning_rate"
    assert (event["severity"], event["layer"]) == ("info", None)
    assert (event["step"], event["epoch"]) == (20, 2)
    losses = [loss for _, loss in figures(told, "range_test_loss")]
    curve = event["evidence"]["curve"]
    assert [p["loss"] for p in curve] == pytest.approx(losses, rel=1e-4)
    assert f"{suggestion[1]:g}" in event["detail"]
    assert event["patch"] == {
        "training": {
            "optimizer": {"kind": "nesterov", "learning_rate": suggestion[1]},
            "schedule": None,
        }
    }
    assert result["metrics"]["suggested_learning_rate"] == suggestion[1]
    assert {"validation_loss", "test_loss"} <= result["metrics"].keys()


def test_the_network_is_afterwards_what_it_was_before() -> None:
    made = trainings.build(spec(DENSE, schedule=TEST), pictures()).training
    before = trainings.weights(made)

    trainings.trained(made)

    trainings.assert_same(trainings.weights(made), before)


@pytest.mark.parametrize("step", [1, 7, 19])
def test_a_test_resumes_bit_for_bit(step: int, tmp_path: Path) -> None:
    assert_resumes(step, tmp_path, schedule={"kind": "range_test", "steps": 20})


@pytest.mark.parametrize(
    ("optimizer", "accuracy"),
    [("nesterov", 0.94), ("sgd", 0.94), ("adam", 0.94), ("lion", 0.94)],
)
def test_the_proposed_rate_trains_well(
    optimizer: str, accuracy: float, digits: Dataset
) -> None:
    wish = spec(LAYERS, optimizer=optimizer, batch_size=32, schedule="range_test")
    (event,) = of_kind(list(carry_out(order(wish), digits)), "diagnostic")

    recipe = wish["training"] | event["patch"]["training"] | {"epochs": 6}
    recipe = {name: value for name, value in recipe.items() if value is not None}
    events = list(carry_out(order(wish | {"training": recipe}), digits))

    assert of_kind(events, "result")[0]["metrics"]["test_accuracy"] > accuracy


def test_a_loss_that_is_no_number_ends_the_test_and_not_the_job(
    digits: Dataset,
) -> None:
    wish = spec(
        LAYERS,
        defaults={"normalization": "none", "activation": "relu"},
        optimizer="sgd",
        schedule={"kind": "range_test", "minimum": 1e5, "maximum": 1e6},
    )

    events = list(carry_out(order(wish), digits))

    assert of_kind(events, "result")
    (event,) = of_kind(events, "diagnostic")
    assert event["patch"] is None
    assert "did not fall" in event["detail"]
    assert event["step"] < 100
    assert not figures(events, "suggested_learning_rate")


def test_early_stopping_does_not_end_a_test() -> None:
    schedule = TEST | {"maximum": 0.01}
    wish = spec(DENSE, schedule=schedule, early_stopping={"patience": 1}, epochs=1)
    made = trainings.build(wish, pictures()).training

    trainings.trained(made)

    assert made.step == 40


def noted(*losses: float) -> RangeTesting:
    """Return a test that has seen these losses."""
    test = RangeTesting(RangeTest(steps=10), {})
    for loss in losses:
        test.note(0.1, torch.tensor(loss))
    return test


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([1.0] * 9, False),
        ([1.0] * 10, True),
        ([1.0, nan], True),
        ([1.0, inf], True),
        # smoothed: (0.9 x 0.1 + 0.1 x 8) / 0.19 = 4.68, above 4 times 1
        ([1.0, 8.0], True),
        # (0.9 x 0.1 + 0.1 x 6) / 0.19 = 3.63
        ([1.0, 6.0], False),
    ],
)
def test_a_test_ends_with_its_steps_or_when_training_breaks(
    losses: Any, over: bool
) -> None:
    assert noted(*losses).over is over


def curve(losses: Any, decades: float = 6.0) -> list[Point]:
    """Return points at rates that grow evenly from 1e-6."""
    spaced = np.logspace(-6, -6 + decades, len(losses))
    return [
        Point(float(r), float(loss)) for r, loss in zip(spaced, losses, strict=True)
    ]


def falling(decade: float, points: int = 121, noise: float = 0.0) -> list[Point]:
    """Return a curve that falls fastest at 10^decade and blows up far above."""
    draw = np.random.default_rng(1)
    exponents = np.linspace(-6, 0, points)
    falls = [2 - 1 / (1 + exp(-3 * (x - decade))) for x in exponents]
    blows = [exp(6 * (x + 0.5)) if x > decade + 1 else 0.0 for x in exponents]
    return curve(np.add(falls, blows) + noise * draw.normal(size=points))


@pytest.mark.parametrize("decade", [-4.0, -3.0, -2.0])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_half_the_rate_of_the_steepest_fall_is_proposed(
    decade: float, noise: float
) -> None:
    found = suggested(falling(decade, noise=noise))

    assert found is not None
    assert log10(2 * found) == pytest.approx(decade, abs=0.05 if noise == 0 else 0.5)


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 100,
        list(np.linspace(1, 2, 100)),
        list(1 + 0.1 * np.random.default_rng(2).normal(size=100)),
        [1.0, 0.5],
        [],
    ],
    ids=["flat", "rising", "noise", "short", "empty"],
)
def test_nothing_is_proposed_where_the_loss_does_not_fall(losses: Any) -> None:
    assert suggested(curve(losses)) is None


@pytest.mark.parametrize("points", [1, 2, 199, 200, 201, 10_000])
def test_the_told_curve_has_at_most_200_points(points: int) -> None:
    whole = curve(range(points))

    found = thinned(whole)

    assert len(found) == min(points, 200)
    assert (found[0], found[-1]) == (whole[0], whole[-1])
