"""Gradient clipping, against numbers worked out by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from trainer.spec.clipping import Adaptive, GlobalNorm, Norm, Value


def _with_gradients(*gradients: Any) -> Any:
    parameters = [nn.Parameter(torch.zeros(len(g))) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


def test_clipping_by_value_clamps_each_number() -> None:
    (parameter,) = _with_gradients([3.0, -0.5, -7.0])

    Value(threshold=1.0).clip([parameter])

    assert parameter.grad.tolist() == [1.0, -0.5, -1.0]


def test_clipping_by_norm_scales_each_tensor_alone() -> None:
    large, small = _with_gradients([3.0, 4.0], [0.3, 0.4])

    Norm(threshold=1.0).clip([large, small])

    assert large.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert small.grad.tolist() == pytest.approx([0.3, 0.4])


def test_clipping_by_global_norm_scales_all_by_one_factor() -> None:
    one, two = _with_gradients([3.0], [4.0])

    GlobalNorm(threshold=1.0).clip([one, two])

    assert [one.grad.item(), two.grad.item()] == pytest.approx([0.6, 0.8], rel=1e-5)


def adaptively(weight: Any, gradient: Any, axis: int = 0, **fields: Any) -> Any:
    """Return what adaptive clipping leaves of a gradient."""
    parameter = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    parameter.grad = torch.tensor(gradient, dtype=torch.float64)
    Adaptive(**fields).clip([parameter], [axis])
    return parameter.grad.tolist()


def test_adaptive_clipping_bounds_each_unit_by_its_weights() -> None:
    # unit 1: |W| = 5, so |G| may be 0.5 and is 5: scaled by 0.1
    # unit 2: |W| = 10, so |G| may be 1 and is 0.5: left
    # unit 3: |W| = 0 counts as 0.001, |G| = 2 may be 0.0001
    found = adaptively(
        [[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]],
        [[4.0, 3.0], [0.3, 0.4], [0.0, 2.0]],
        clipping=0.1,
    )

    assert found == [
        pytest.approx([0.4, 0.3]),
        pytest.approx([0.3, 0.4]),
        pytest.approx([0.0, 0.0001]),
    ]


def test_adaptive_clipping_follows_the_axis_of_the_units() -> None:
    found = adaptively([[3.0, 6.0], [4.0, 8.0]], [[4.0, 0.3], [3.0, 0.4]], axis=1)

    # columns are units: 5 x 0.01 = 0.05 of 5, and 10 x 0.01 = 0.1 of 0.5
    assert found == [pytest.approx([0.04, 0.06]), pytest.approx([0.03, 0.08])]


def test_adaptive_clipping_takes_a_vector_as_one_unit() -> None:
    found = adaptively([3.0, 4.0], [6.0, 8.0], clipping=0.1)

    assert found == pytest.approx([0.3, 0.4])


def test_adaptive_clipping_takes_a_channel_with_its_window_as_one_unit() -> None:
    weight = torch.full((2, 3, 2, 2), 1.0)
    gradient = torch.full((2, 3, 2, 2), 2.0)
    parameter = nn.Parameter(weight)
    parameter.grad = gradient

    Adaptive(clipping=0.5).clip([parameter], [0])

    # both norms are over 12 numbers, so the gradient may be half of the weights
    assert parameter.grad.unique().tolist() == pytest.approx([0.5])


def test_adaptive_clipping_leaves_no_gradient_and_a_zero_gradient_alone() -> None:
    without = nn.Parameter(torch.ones(2, 2))
    (zero,) = _with_gradients([0.0, 0.0])

    Adaptive().clip([without, zero], [0, 0])

    assert without.grad is None
    assert zero.grad.tolist() == [0.0, 0.0]
