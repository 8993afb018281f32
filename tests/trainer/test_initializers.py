"""Initial values: their distributions, and whose fans they count."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from trainer.spec.initializers import Initializer


def drawn(given: Any, shape: tuple[int, ...] = (300, 200), fans: Any = None) -> Any:
    weight = torch.empty(shape, dtype=torch.float64)
    initializer = TypeAdapter(Initializer).validate_python(given)
    initializer.fill(weight, torch.Generator().manual_seed(3), fans)
    return weight


def scaling(**fields: Any) -> Any:
    return {"kind": "variance_scaling"} | fields


@pytest.mark.parametrize("distribution", ["truncated_normal", "normal", "uniform"])
@pytest.mark.parametrize(
    ("mode", "fan"), [("fan_in", 200), ("fan_out", 300), ("fan_average", 250)]
)
def test_variance_scaling_has_the_variance_that_it_says(
    distribution: str, mode: str, fan: int
):
    weight = drawn(scaling(scale=2.0, mode=mode, distribution=distribution))

    assert weight.var().item() == pytest.approx(2 / fan, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=4 * sqrt(2 / fan / 60_000))


def test_a_truncated_normal_is_widened_so_that_the_cut_does_not_narrow_it():
    weight = drawn(scaling())

    # cut at two deviations of the wider distribution, as Keras does
    assert weight.abs().max().item() < 2 * sqrt(1 / 200) / 0.87962566103423978
    assert weight.abs().max().item() > 1.99 * sqrt(1 / 200) / 0.87962566103423978


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("glorot_uniform", scaling(mode="fan_average", distribution="uniform")),
        ("glorot_normal", scaling(mode="fan_average", distribution="normal")),
        ("he_uniform", scaling(scale=2.0, distribution="uniform")),
        ("he_normal", scaling(scale=2.0, distribution="normal")),
        ("lecun_uniform", scaling(distribution="uniform")),
        ("lecun_normal", scaling(distribution="normal")),
    ],
)
def test_the_named_initialisations_are_members_of_variance_scaling(
    named: str, given: Any
):
    torch.testing.assert_close(drawn(named), drawn(given))


@pytest.mark.parametrize("named", ["glorot_uniform", "he_normal", scaling()])
def test_fans_that_a_layer_tells_count_more_than_the_shape(named: Any):
    one = drawn(named, (400, 100), fans=(25, 25))
    other = drawn(named, (400, 100))
    kind = named if isinstance(named, str) else "lecun"
    fan = {"glorot_uniform": 500 / 50, "he_normal": 100 / 25, "lecun": 100 / 25}[kind]

    torch.testing.assert_close(one, other * sqrt(fan))


def test_a_normal_distribution_has_the_mean_and_the_deviation_that_it_says():
    weight = drawn({"kind": "normal", "mean": 3.0, "deviation": 0.5})

    assert weight.mean().item() == pytest.approx(3.0, abs=0.01)
    assert weight.std().item() == pytest.approx(0.5, rel=0.02)


def test_a_truncated_normal_distribution_stays_within_two_deviations():
    weight = drawn({"kind": "truncated_normal", "mean": 1.0, "deviation": 0.5})

    assert weight.min().item() >= 0.0
    assert weight.max().item() <= 2.0
    assert weight.std().item() == pytest.approx(0.5 * 0.87962566, rel=0.02)


def test_a_uniform_distribution_fills_the_range_that_it_says():
    weight = drawn({"kind": "uniform", "low": 1.0, "high": 3.0})

    assert 1.0 <= weight.min().item() < 1.001
    assert 2.999 < weight.max().item() <= 3.0
    assert weight.mean().item() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"low": 1.0}, "go together"),
        ({"low": 1.0, "high": 1.0}, "is not below"),
    ],
)
def test_half_a_range_is_refused(given: Any, why: str):
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(Initializer).validate_python({"kind": "uniform"} | given)


def test_the_identity_passes_a_vector_through():
    weight = drawn({"kind": "identity", "gain": 2.0}, (3, 4))

    assert weight.tolist() == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]


def test_the_identity_of_a_convolution_passes_an_image_through():
    weight = drawn("identity", (2, 2, 3, 3))
    image = torch.randn(1, 2, 5, 5, dtype=torch.float64)

    found = torch.nn.functional.conv2d(image, weight, padding=1)

    assert torch.equal(found, image)


def test_the_identity_of_a_bias_is_zero():
    assert drawn("identity", (3,)).tolist() == [0, 0, 0]
