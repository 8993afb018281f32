"""FTRL-proximal, against numbers worked out from its definition and TensorFlow's."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import nn

from trainer.spec.optimizers.adaptive import Ftrl


def ftrl(
    start: list[float], gradient: list[float], steps: int = 1, **fields: Any
) -> list[float]:
    """Return weights after some steps of FTRL with one gradient, at the rate 3."""
    weight = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    rule = Ftrl(**({"learning_rate": 3.0} | fields)).build([weight])
    for _ in range(steps):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        rule.step()
    found: list[float] = weight.tolist()
    return found


@pytest.mark.parametrize(
    ("start", "gradient", "steps", "fields", "expected"),
    [
        # n = 0.1, √n = 0.31623; n' = 0.1 + 0.01 = 0.11, √n' = 0.33166.
        # From 0: z = g = 0.1, w = -z α / √n' = -0.1 x 3 / 0.33166 = -0.90453
        ([0.0], [0.1], 1, {}, [-0.904534]),
        # From 1: σ = (0.33166 - 0.31623) / 3 = 0.0051450, z = 0.1 - σ = 0.094855,
        # w = -0.094855 x 3 / 0.33166 = -0.85800: little is left of the 1
        ([1.0], [0.1], 1, {}, [-0.857997]),
        # With l1 = 0.05, w = (0.05 - 0.1) x 3 / 0.33166 = -0.45227
        ([0.0], [0.1], 1, {"l1": 0.05}, [-0.452267]),
        # With l2 = 0.2, w = -0.1 / (0.33166 / 3 + 0.4) = -0.1 / 0.510554
        ([0.0], [0.1], 1, {"l2": 0.2}, [-0.195866]),
        # With β = 0.5, w = -0.1 / ((0.5 + 0.33166) / 3) = -0.1 / 0.277221
        ([0.0], [0.1], 1, {"beta": 0.5}, [-0.360723]),
        # With n^0.25 for the root: 0.11^0.25 = 0.57590, w = -0.1 x 3 / 0.57590
        ([0.0], [0.1], 1, {"learning_rate_power": -0.25}, [-0.520926]),
        # As algorithm 1 of the paper, from n = 0: w = -α g / √(g²) = -3
        ([0.0], [0.1], 1, {"initial_accumulator": 0}, [-3.0]),
        # Centred at the initial weight, w = w0 - α g / √n' = 1 - 0.90453
        ([1.0], [0.1], 1, {"keep_initial_weights": True}, [0.095466]),
        # TensorFlow's own figures, ftrl_test.py
        ([0.0, 0.0], [0.1, 0.2], 3, {}, [-2.60260963, -4.29698515]),
        ([1.0, 2.0], [0.1, 0.2], 3, {}, [-2.55607247, -3.98729396]),
        ([4.0, 3.0], [0.01, 0.02], 3, {}, [-0.28232238, -0.56096673]),
        ([1.0, 2.0], [0.1, 0.2], 10, {"l1": 0.001}, [-7.66718769, -10.91273689]),
        (
            [1.0, 2.0],
            [0.1, 0.2],
            10,
            {"l1": 0.001, "l2": 2.0},
            [-0.24059935, -0.46829352],
        ),
    ],
)
def test_ftrl_has_the_numbers_of_its_definition(
    start: Any, gradient: Any, steps: int, fields: Any, expected: Any
) -> None:
    assert ftrl(start, gradient, steps, **fields) == pytest.approx(expected, rel=1e-5)


def test_ftrl_makes_weights_exactly_zero() -> None:
    # |z| = |g| = 0.1 is not above l1, then z = 0.2 - σ w = 0.2 is: 0.1 x 3 / √0.12
    assert ftrl([0.0], [0.1], 1, l1=0.1) == [0.0]
    assert ftrl([0.0], [0.1], 2, l1=0.1) == pytest.approx([-0.3 / sqrt(0.12)])


@pytest.mark.parametrize(("keep", "expected"), [(True, 7.0), (False, 0.0)])
@pytest.mark.parametrize("role", ["weight", "vector"])
def test_ftrl_solves_for_a_weight_that_never_had_a_gradient(
    keep: bool, expected: float, role: str
) -> None:
    weight = nn.Parameter(torch.tensor([7.0]))
    rule = Ftrl(
        initial_accumulator=0, l2=0.5 * (role == "vector"), keep_initial_weights=keep
    ).build([{"params": [weight], "role": role}])
    weight.grad = torch.zeros(1)

    rule.step()
    rule.step()

    assert weight.item() == expected


def test_ftrl_keeps_its_weights_when_the_rate_changes() -> None:
    """Show that the sum of the σ is the inverse of the rate, whatever changes it."""
    weight = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
    rule = Ftrl(learning_rate=1.0, keep_initial_weights=True).build([weight])
    weight.grad = torch.zeros(1, dtype=torch.float64)

    for rate in (1.0, 0.0, 0.01, 100.0):
        rule.param_groups[0]["lr"] = rate
        rule.step()

    assert weight.tolist() == pytest.approx([0.5])


def test_ftrl_penalises_weights_and_spares_vectors() -> None:
    weight, bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [
        {"params": [weight], "role": "weight"},
        {"params": [bias], "role": "vector"},
    ]
    rule = Ftrl(l1=1.0).build(groups)
    weight.grad = bias.grad = torch.tensor([0.1])

    rule.step()

    assert weight.item() == 0
    assert bias.item() < 0
