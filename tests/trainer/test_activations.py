"""Activations: their formulas, their gradients, what they learn and what they draw."""

from __future__ import annotations

from math import exp, log1p, sqrt, tanh
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from tests.trainer import trainings
from tests.trainer.networks import network
from tests.trainer.spec_samples import job, resolved
from tests.trainer.trainings import pictures, spec, trained, weights
from trainer.network import Network
from trainer.saved.registration import register
from trainer.saved.reopened import network_of
from trainer.spec.activations import Activation
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.network import NetworkSpec, filled
from trainer.training.loop import fit

KINDS = [member.model_fields["kind"].default for member in variants(Activation)]


def function(given: Any, shape: tuple[int, ...] = (1,), axis: int | None = None) -> Any:
    return TypeAdapter(Activation).validate_python(given).build(shape, axis)


@pytest.mark.parametrize(
    ("given", "z", "expected"),
    [
        ("hard_sigmoid", 1.5, 4.5 / 6),
        ("hard_sigmoid", -3.5, 0.0),
        ("hard_tanh", 1.5, 1.0),
        ("hard_tanh", -0.3, -0.3),
        ("hard_swish", -1.0, -2 / 6),
        ("hard_swish", 4.0, 4.0),
        ("relu6", 7.0, 6.0),
        ("relu6", -1.0, 0.0),
        ("prelu", -2.0, -0.5),
        ("prelu", 2.0, 2.0),
        ({"kind": "celu", "alpha": 2.0}, -1.0, 2 * (exp(-0.5) - 1)),
        ("mish", 1.3, 1.3 * tanh(log1p(exp(1.3)))),
        ("softsign", -3.0, -0.75),
        ("gelu", 1.0, 0.8413447460685429),
        ("silu", 1.0, 1 / (1 + exp(-1))),
    ],
)
def test_an_activation_has_the_value_of_its_formula_in_double_precision(
    given: Any, z: float, expected: float
):
    found = function(given).double()(torch.tensor([[z]], dtype=torch.float64))

    assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"rrelu"}))
@pytest.mark.parametrize(
    ("shape", "axis"), [((6,), None), ((6, 3, 2), None), ((4, 6), None), ((6, 4), 0)]
)
def test_an_activation_has_the_gradient_of_its_values(kind: str, shape: Any, axis: Any):
    z = torch.randn(3, *shape, dtype=torch.float64, generator=seeded(3))

    assert torch.autograd.gradcheck(
        function(kind, shape, axis).double(), [z.requires_grad_()]
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_softmax_makes_the_features_of_a_position_compete():
    image, sequence = torch.randn(2, 5, 3, 3), torch.randn(2, 4, 5)

    of_pixels = function("softmax", (5, 3, 3))(image)
    of_steps = function("softmax", (4, 5))(sequence)

    torch.testing.assert_close(of_pixels.sum(1), torch.ones(2, 3, 3))
    torch.testing.assert_close(of_steps.sum(2), torch.ones(2, 4))


def test_log_softmax_is_the_logarithm_of_softmax():
    z = torch.randn(4, 5, dtype=torch.float64)

    found = function("log_softmax", (5,))(z)

    torch.testing.assert_close(found.exp(), function("softmax", (5,))(z))


def test_rrelu_leaks_at_the_mean_slope_when_it_evaluates():
    module = function({"kind": "rrelu", "lower": 0.1, "upper": 0.3}).eval()

    found = module(torch.tensor([[-2.0, 5.0]], dtype=torch.float64))

    assert found[0].tolist() == pytest.approx([-0.4, 5.0], rel=1e-12)


def test_rrelu_draws_a_slope_for_each_number_while_training():
    module = function({"kind": "rrelu", "lower": 0.1, "upper": 0.3}).train()
    z = -torch.ones(200, 50, dtype=torch.float64)
    torch.manual_seed(4)

    slopes = -module(z)

    # of a uniform distribution on [0.1, 0.3], from its definition
    assert 0.1 <= slopes.min().item() < 0.1001
    assert 0.2999 < slopes.max().item() <= 0.3
    assert slopes.mean().item() == pytest.approx(0.2, abs=3 * 0.2 / sqrt(12 * 10_000))
    assert slopes.std().item() == pytest.approx(0.2 / sqrt(12), rel=0.02)
    assert torch.equal(module(-z), -z)


def test_rrelu_passes_back_the_slope_that_it_drew():
    module = function("rrelu").train()
    z = torch.full((4, 5), -2.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)

    outputs = module(z)
    outputs.sum().backward()

    torch.testing.assert_close(z.grad, outputs.detach() / -2.0)


def test_rrelu_with_its_bounds_swapped_is_refused():
    with pytest.raises(ValidationError, match=r"lower 0\.5 lies above upper 0\.2"):
        TypeAdapter(Activation).validate_python(
            {"kind": "rrelu", "lower": 0.5, "upper": 0.2}
        )


def test_rrelu_above_frozen_layers_is_not_below_the_cut():
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "name": "hidden", "units": 4, "activation": "none"},
        {"kind": "activation", "name": "leak", "activation": "rrelu"},
    ]

    cut = network(layers, (5,)).cut({"hidden"})

    assert cut.below == ("hidden",)
    assert cut.above == ("leak", "output")


@pytest.mark.parametrize(
    ("shape", "axis"), [((3,), None), ((3, 2, 2), None), ((4, 3), None), ((3, 4), 0)]
)
def test_prelu_has_a_slope_for_each_channel(shape: Any, axis: Any):
    module = function("prelu", shape, axis)
    slopes = torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        module.weight.copy_(slopes)
    channels = shape.index(3) + 1

    found = module(-torch.ones(2, *shape))

    expected = [3 if n == channels else 1 for n in range(len(shape) + 1)]
    torch.testing.assert_close(found, -slopes.view(expected).expand(2, *shape))


def test_prelu_can_have_one_slope_for_the_layer():
    given = {"kind": "prelu", "shared": "layer", "initial_slope": 0.5}

    module = function(given, (3, 2, 2))

    assert module.weight.tolist() == [0.5]


PRELU = [{"kind": "dense", "units": 6, "activation": "prelu", "initializer": "ones"}]


def test_slopes_start_at_their_own_value_and_not_at_the_weights():
    net = network(PRELU, (5,))

    assert net.rows[0].tensors["activation.weight"].shape == (6,)
    held = net.layers.state_dict()
    assert held["dense1.activation.weight"].tolist() == [0.25] * 6
    assert held["dense1.weight"].min().item() == 1.0


@pytest.mark.parametrize("layers", [PRELU, [{"kind": "residual", "filters": 3}]])
def test_slopes_are_learned_and_never_penalised(layers: Any):
    what = [layer | {"activation": "prelu"} for layer in layers]
    strong = {"l1": 10.0, "l2": 10.0, "max_norm": 1e-3}
    plain = {"kind": "sgd", "learning_rate": 1e-12}
    training = trainings.build(
        spec(what, regularization=strong, optimizer=plain, epochs=1), pictures()
    ).training
    before = weights(training)

    trained(training)

    slopes = [name for name in before if "activation" in name]
    assert slopes
    for name in slopes:
        torch.testing.assert_close(weights(training)[name], before[name])


def test_slopes_move_with_the_loss():
    training = trainings.build(spec(PRELU), pictures()).training

    trained(training)

    slopes = weights(training)["layers.dense1.activation.weight"]
    assert slopes.ne(0.25).all()


def test_frozen_slopes_keep_still(tmp_path: Any):
    what = [PRELU[0] | {"name": "hidden"}]
    source = trainings.model(tmp_path / "source", spec(what), pictures())
    entry = {"from": "mdl_source", "layers": "hidden", "freeze": "hidden"}
    found = trainings.build(spec(what, reuse=[entry]), pictures(), sources=[source])
    before = weights(found.training)

    trained(found.training)

    name = "layers.hidden.activation.weight"
    assert torch.equal(weights(found.training)[name], before[name])
    assert name not in [f"layers.{n}" for n in found.training.moving()]


MAXOUT = {"kind": "maxout", "pieces": 3}


def test_maxout_takes_the_largest_of_its_pieces():
    module = function({"kind": "maxout", "pieces": 2}, (6,))

    found = module(torch.tensor([[1.0, 2.0, -3.0, -4.0, 0.0, 7.0]]))

    assert found.tolist() == [[2.0, -3.0, 7.0]]


@pytest.mark.parametrize(
    ("layer", "shape", "sums", "outputs"),
    [
        ({"kind": "dense", "units": 4}, (5,), (12, 5), (4,)),
        ({"kind": "conv2d", "filters": 4}, (2, 6, 6), (12, 2, 3, 3), (4, 4, 4)),
    ],
)
@pytest.mark.parametrize("position", ["before_activation", "after_activation"])
def test_maxout_leaves_a_layer_its_width(
    layer: Any, shape: Any, sums: Any, outputs: Any, position: str
):
    wide = layer | {"activation": MAXOUT, "normalization_position": position}
    net = network([wide], shape)
    row = net.rows[0]

    assert row.tensors["weight"].shape == sums
    assert row.output_shape == outputs
    normalised = 12 if position == "before_activation" else 4
    assert row.tensors["normalization.weight"].shape == (normalised,)
    assert {n: t.shape for n, t in row.tensors.items()} == {
        n: tuple(t.shape) for n, t in net.layers[row.name].state_dict().items()
    }


def test_maxout_of_two_mirrored_pieces_is_the_absolute_value():
    net = network(
        [
            {
                "kind": "dense",
                "units": 1,
                "activation": "maxout",
                "normalization": "none",
            }
        ],
        (1,),
    ).eval()
    layer = net.layers["dense1"]
    mirrored = {"weight": torch.tensor([[1.0], [-1.0]]), "bias": torch.zeros(2)}
    layer.load_state_dict(mirrored)

    assert layer(torch.tensor([[-3.0], [2.0]])).flatten().tolist() == [3.0, 2.0]


def test_a_layer_of_maxout_narrows_what_it_is_given():
    net = network([{"kind": "activation", "activation": MAXOUT}], (6, 2, 2))

    assert net.rows[0].output_shape == (2, 2, 2)
    assert net.layers["activation1"](torch.randn(3, 6, 2, 2)).shape == (3, 2, 2, 2)


@pytest.mark.parametrize(
    ("layers", "shape", "detail"),
    [
        ([{"kind": "activation", "activation": MAXOUT}], (5,), "of 3 sums, is given 5"),
        ([{"kind": "residual", "filters": 4, "activation": MAXOUT}], (2, 6, 6), "sum"),
    ],
)
def test_maxout_where_there_are_not_enough_sums_is_refused(
    layers: Any, shape: Any, detail: str
):
    with pytest.raises(InvalidSpec, match=detail) as refused:
        Network(filled(NetworkSpec.model_validate({"layers": layers}), 3), shape)

    assert refused.value.problems[0].pointer == "/network/layers/0/activation"


RANDOM = [{"kind": "dense", "name": "hidden", "units": 8, "activation": "rrelu"}]


def test_a_resumed_run_draws_the_slopes_that_it_would_have_drawn():
    whole = trainings.build(spec(RANDOM), pictures()).training
    trained(whole)
    stopped = trainings.build(spec(RANDOM), pictures()).training
    reports = fit(stopped, pause_seconds=0)
    next(report for report in reports if report.step == 4)
    snapshot = stopped.snapshot()
    resumed = trainings.build(spec(RANDOM), pictures()).training

    resumed.restore(snapshot)
    trained(resumed)

    trainings.assert_same(weights(resumed), weights(whole))


@pytest.mark.parametrize("activation", ["prelu", "rrelu", MAXOUT, "softmax"])
def test_a_model_opens_again_and_answers_the_same(tmp_path: Path, activation: Any):
    conv = {"kind": "conv2d", "filters": 4, "activation": activation}
    layers: list[dict[str, Any]] = [conv, {"kind": "dense", "units": 5}]
    found = trainings.build(spec(layers, epochs=1), pictures())
    trained(found.training)
    register(found, tmp_path / "model")
    x = torch.rand(5, 1, 6, 6)

    again = network_of(tmp_path / "model").eval()

    assert torch.equal(again(x), found.network.eval()(x))


def test_selu_without_its_initialiser_is_worth_a_warning():
    selu = {"kind": "dense", "units": 4, "activation": "selu", "normalization": "none"}

    told = resolved(job(network={"layers": [selu]})).warnings
    layer = selu | {"initializer": "lecun_normal", "dropout": 0}
    kept = resolved(job(network={"layers": [layer]})).warnings

    assert any("lecun_normal" in each for each in told)
    assert any("alpha_dropout" in each for each in told)
    assert not any("selu" in each for each in kept)
