"""Normalisations: what their means go over, on either side of the activation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional

from tests.trainer import trainings
from tests.trainer.networks import network
from tests.trainer.trainings import pictures, spec, trained, weights
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.network import Network
from trainer.saved.reopened import network_of
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.network import NetworkSpec, filled
from trainer.spec.normalizations import Normalization

VECTOR, SEQUENCE, IMAGE = (6,), (4, 6), (6, 3, 2)
EPSILON = 0.01
KINDS = [
    member.model_fields["kind"].default
    for member in variants(Normalization)
    if member.model_fields["kind"].default != "none"
]


def module(given: Any, shape: tuple[int, ...], axis: int | None = None) -> Any:
    made = TypeAdapter(Normalization).validate_python(given).build(shape, axis)
    assert made is not None
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=draw) + 0.5)
    return made.double()


def examples(shape: tuple[int, ...]) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    return 3 * torch.randn(5, *shape, dtype=torch.float64, generator=draw) + 1


def by_formula(x: torch.Tensor, over: tuple[int, ...], made: Any, axis: int) -> Any:
    """Return (x - mean) / √(variance + ε) over some axes, scaled and shifted."""
    spread = [-1 if n == axis else 1 for n in range(x.ndim)]
    centred = x - x.mean(over, keepdim=True)
    variance = centred.pow(2).mean(over, keepdim=True)
    normal = centred / (variance + EPSILON).sqrt()
    return normal * made.weight.view(spread) + made.bias.view(spread)


@pytest.mark.parametrize(
    ("kind", "shape", "over", "features"),
    [
        ("batch", VECTOR, (0,), 1),
        ("batch", SEQUENCE, (0, 1), 2),
        ("batch", IMAGE, (0, 2, 3), 1),
        ("layer", VECTOR, (1,), 1),
        ("layer", SEQUENCE, (2,), 2),
        ("layer", IMAGE, (1, 2, 3), 1),
        ("instance", SEQUENCE, (1,), 2),
        ("instance", IMAGE, (2, 3), 1),
    ],
)
def test_a_normalisation_goes_over_the_axes_of_its_paper(
    kind: str, shape: Any, over: Any, features: int
):
    made, x = module({"kind": kind, "epsilon": EPSILON}, shape), examples(shape)

    torch.testing.assert_close(made(x), by_formula(x, over, made, features))


@pytest.mark.parametrize(
    ("shape", "turned"), [(VECTOR, VECTOR), (SEQUENCE, (6, 4)), (IMAGE, IMAGE)]
)
def test_group_normalisation_goes_over_a_group_and_all_positions(
    shape: Any, turned: Any
):
    given = {"kind": "group", "groups": 3, "epsilon": EPSILON}
    made, x = module(given, shape), examples(shape)
    first = x if shape == turned else x.transpose(1, 2)

    found = made(x)

    expected = functional.group_norm(first, 3, made.weight, made.bias, EPSILON)
    back = expected if shape == turned else expected.transpose(1, 2)
    torch.testing.assert_close(found, back)


@pytest.mark.parametrize(
    ("shape", "over", "features"),
    [(VECTOR, (1,), 1), (SEQUENCE, (2,), 2), (IMAGE, (1, 2, 3), 1)],
)
def test_rms_divides_by_the_root_of_the_mean_square(
    shape: Any, over: Any, features: int
):
    made, x = module({"kind": "rms", "epsilon": EPSILON}, shape), examples(shape)
    spread = [-1 if n == features else 1 for n in range(x.ndim)]

    root = (x.pow(2).mean(over, keepdim=True) + EPSILON).sqrt()

    torch.testing.assert_close(made(x), x / root * made.weight.view(spread))


def test_rms_is_what_torch_computes():
    made, x = module("rms", VECTOR), examples(VECTOR)

    torch.testing.assert_close(made(x), functional.rms_norm(x, (6,), made.weight, 1e-6))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [SEQUENCE, IMAGE])
def test_a_normalisation_has_the_gradient_of_its_values(kind: str, shape: Any):
    x = examples(shape)[:2].requires_grad_()

    assert torch.autograd.gradcheck(module(kind, shape), [x])


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_lie_first_give_what_features_that_lie_last_give(kind: str):
    last, first = module(kind, SEQUENCE), module(kind, (6, 4), axis=0)
    first.load_state_dict(last.state_dict())
    x = examples(SEQUENCE)

    torch.testing.assert_close(first(x.transpose(1, 2)), last(x).transpose(1, 2))


def test_batch_normalisation_keeps_a_share_of_its_moving_statistics():
    made = module({"kind": "batch", "momentum": 0.8}, VECTOR)
    x = examples(VECTOR)

    made(x)

    torch.testing.assert_close(made.running_mean, 0.2 * x.mean(0))
    # the unbiased variance, over n - 1
    torch.testing.assert_close(made.running_var, 0.8 + 0.2 * x.var(0))


@pytest.mark.parametrize(("features", "groups"), [(6, 3), (64, 32), (7, 1), (100, 25)])
def test_groups_follow_from_the_features_of_a_vector(features: int, groups: int):
    assert module("group", (features,)).groups == groups


@pytest.mark.parametrize(
    ("normalization", "detail"),
    [
        ({"kind": "group", "groups": 4}, "do not divide 6 features"),
        ({"kind": "group", "groups": 6}, "hold one number each"),
        ("instance", "needs several positions"),
    ],
)
def test_a_normalisation_that_would_leave_nothing_is_refused(
    normalization: Any, detail: str
):
    layer = {"kind": "dense", "units": 6, "normalization": normalization}

    with pytest.raises(InvalidSpec, match=detail) as refused:
        network([layer], VECTOR)

    (problem,) = refused.value.problems
    assert problem.pointer == "/network/layers/0/normalization"
    assert problem.suggestion


LAYERS = [
    {"kind": "conv2d", "filters": 6, "kernel_size": 2},
    {"kind": "residual", "filters": 6},
    {"kind": "group_normalization", "groups": 2},
    {"kind": "instance_normalization"},
    {"kind": "layer_normalization"},
    {"kind": "rms_normalization"},
    {"kind": "batch_normalization"},
]


@pytest.mark.parametrize("position", ["before_activation", "after_activation"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_normalised_network_has_the_tensors_it_said_and_exports_what_it_computes(
    tmp_path: Path, kind: str, position: str
):
    defaults = {"normalization": kind, "normalization_position": position}
    given = NetworkSpec.model_validate({"layers": LAYERS, "defaults": defaults})
    net = Network(filled(given, 4), (2, 5, 4))
    net.initialize(torch.Generator().manual_seed(1))
    net(torch.randn(8, 2, 5, 4))
    told = {
        f"layers.{row.name}.{name}": tensor.shape
        for row in net.rows
        for name, tensor in row.tensors.items()
    }

    exported = export(net, torch.randn(20, 2, 5, 4), tmp_path / "model.onnx")

    assert {n: tuple(t.shape) for n, t in net.state_dict().items()} == told
    assert exported.route == "recorded"
    assert exported.maximum_difference < 1e-4


@pytest.mark.parametrize(
    ("position", "expected"),
    [("before_activation", [0.0, 1.0]), ("after_activation", [-1.0, 1.0])],
)
def test_the_position_says_whether_sums_or_outputs_are_normalised(
    position: str, expected: list[float]
):
    layer = {
        "kind": "dense",
        "units": 2,
        "activation": "relu",
        "normalization": {"kind": "layer", "epsilon": 1e-12},
        "normalization_position": position,
        "dropout": 0,
    }
    made = network([layer], (2,)).eval().layers["dense1"]
    identity = {"weight": torch.eye(2), "bias": torch.zeros(2)}
    made.load_state_dict(made.state_dict() | identity)

    found = made(torch.tensor([[-3.0, 5.0]]))

    assert found[0].tolist() == pytest.approx(expected, abs=1e-5)


def sequences(rows: int = 40) -> Dataset:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(rows, 4, 3)).astype(np.float32)
    label = (x[:, :, 0].sum(1) > 0).astype(np.int64)
    return described(trainings.TOY, {"train": {"x": x, "label": label}}, "toy")


@pytest.mark.parametrize("kind", [f"{kind}_normalization" for kind in KINDS])
def test_sequences_are_normalised_by_feature(kind: str):
    layers: list[dict[str, Any]] = [
        {"kind": kind, "name": "norm"},
        {"kind": "dense", "units": 3},
    ]
    training = trainings.build(spec(layers, epochs=1), sequences()).training
    before = weights(training)

    trained(training)

    name = "layers.norm.weight"
    assert before[name].shape == (3,)
    assert not torch.equal(weights(training)[name], before[name])


LOGITS = {
    "kind": "dense",
    "name": "output",
    "normalization": {"kind": "batch", "momentum": 0.9},
}


def test_the_logits_can_be_normalised_and_the_model_opens_again(tmp_path: Path):
    layers: list[dict[str, Any]] = [{"kind": "dense", "units": 6}, LOGITS]
    folder = trainings.model(tmp_path / "model", spec(layers), pictures())

    net = network_of(folder).eval()

    assert net.state_dict()["layers.output.normalization.running_var"].shape == (3,)
    assert net(torch.rand(2, 1, 6, 6)).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_layer_keeps_its_normalisation_still(tmp_path: Path, kind: str):
    layers = [
        {"kind": "conv2d", "name": "below", "filters": 4, "normalization": kind},
        {"kind": "dense", "name": "above", "units": 4, "normalization": "none"},
    ]
    source = trainings.model(tmp_path / "source", spec(layers), pictures())
    entry = {"from": "mdl_source", "layers": "below", "freeze": "below"}
    what = spec(layers, reuse=[entry])
    found = trainings.build(what, pictures(), sources=[source])
    before = found.frozen.hashes()

    trained(found.training)

    assert any("normalization" in name for name in before)
    assert found.frozen.hashes() == before
