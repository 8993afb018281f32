"""Layers that move, merge, pool or disturb numbers do what their names say."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.layers import alone, applied, made, part
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.layers import Layer
from trainer.spec.layers.noise import Noise

SEQUENCE = torch.arange(1.0, 7.0).reshape(1, 3, 2)
IMAGE = torch.arange(1.0, 5.0).reshape(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        ({"kind": "flatten"}, SEQUENCE, [[1, 2, 3, 4, 5, 6]]),
        ({"kind": "reshape", "shape": [2, -1]}, SEQUENCE, [[[1, 2, 3], [4, 5, 6]]]),
        ({"kind": "permute", "axes": [2, 1]}, SEQUENCE, [[[1, 3, 5], [2, 4, 6]]]),
        (
            {"kind": "repeat_vector", "steps": 3},
            torch.tensor([[1.0, 2.0]]),
            [[[1, 2]] * 3],
        ),
        (
            {"kind": "zero_padding1d", "padding": [1, 0]},
            SEQUENCE,
            [[[0, 0], [1, 2], [3, 4], [5, 6]]],
        ),
        ({"kind": "cropping1d", "cropping": [0, 2]}, SEQUENCE, [[[1, 2]]]),
        (
            {"kind": "upsampling1d"},
            SEQUENCE[:, :2],
            [[[1, 2], [1, 2], [3, 4], [3, 4]]],
        ),
        (
            {"kind": "upsampling2d", "size": [1, 2]},
            IMAGE,
            [[[[1, 1, 2, 2], [3, 3, 4, 4]]]],
        ),
        (
            {"kind": "zero_padding2d", "padding": [[1, 0], [0, 2]]},
            IMAGE,
            [[[[0, 0, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]]]],
        ),
        ({"kind": "cropping2d", "cropping": [[1, 0], [0, 1]]}, IMAGE, [[[[3]]]]),
        ({"kind": "max_pool1d"}, SEQUENCE, [[[3, 4]]]),
        ({"kind": "max_pool1d", "padding": "same"}, SEQUENCE, [[[3, 4], [5, 6]]]),
        (
            {"kind": "average_pool1d", "padding": "same"},
            SEQUENCE,
            [[[2, 3], [5, 6]]],
        ),
        ({"kind": "average_pool1d", "stride": 1}, SEQUENCE, [[[2, 3], [4, 5]]]),
        ({"kind": "global_max_pool1d"}, SEQUENCE, [[5, 6]]),
        ({"kind": "global_average_pool1d"}, SEQUENCE, [[3, 4]]),
        ({"kind": "global_max_pool2d"}, IMAGE, [[4]]),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_numbers_come_out_where_they_should(layer: Any, x: Tensor, expected: Any):
    net = alone(layer, tuple(x.shape[1:]))

    found = applied(net, x)

    assert found.tolist() == expected
    assert net.rows[0].output_shape == tuple(found.shape[1:])


def merged(kind: str, shape: tuple[int, ...], **fields: Any) -> Any:
    layers: list[dict[str, Any]] = [
        {"kind": "activation", "activation": "linear", "name": "one"},
        {"kind": kind, "name": "layer", "inputs": ["input", "one"], **fields},
    ]
    return made(layers, shape)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("add", [5, 3]),
        ("multiply", [6, 2]),
        ("average", [2.5, 1.5]),
        ("maximum", [3, 2]),
        ("concatenate", [2, 1, 3, 2]),
    ],
)
def test_a_merge_makes_one_of_two(kind: str, expected: Any):
    left, right = torch.tensor([[2.0, 1.0]]), torch.tensor([[3.0, 2.0]])

    assert applied(merged(kind, (2,)), left, right).tolist() == [expected]


@pytest.mark.parametrize(
    ("shape", "fields", "joined"),
    [
        ((3,), {}, (6,)),
        ((4, 3), {}, (4, 6)),
        ((4, 3), {"axis": "steps"}, (8, 3)),
        ((2, 5, 5), {}, (4, 5, 5)),
    ],
)
def test_features_are_joined_unless_steps_are_asked_for(
    shape: Any, fields: Any, joined: Any
):
    net = merged("concatenate", shape, **fields)
    x = torch.zeros(2, *shape)

    assert net.rows[1].output_shape == joined
    assert tuple(applied(net, x, x).shape[1:]) == joined


NOISES = [member for member in variants(Layer) if issubclass(member, Noise)]
every_noise = pytest.mark.parametrize(
    "kind", [member.model_fields["kind"].default for member in NOISES]
)


@every_noise
def test_noise_is_for_training_alone_and_keeps_the_mean(kind: str):
    net = alone({"kind": kind}, (50, 40))
    x = torch.ones(20, 50, 40)
    torch.manual_seed(1)

    resting, working = applied(net, x), part(net).train()(x)

    assert torch.equal(resting, x)
    assert not torch.equal(working, x)
    if kind != "alpha_dropout":  # which keeps mean 0, tested below
        assert working.mean().item() == pytest.approx(1, abs=0.05)


@every_noise
def test_a_noise_below_every_frozen_layer_keeps_the_cut_at_the_input(kind: str):
    layers: list[dict[str, Any]] = [
        {"kind": kind, "name": "layer"},
        {"kind": "conv1d", "name": "seen", "filters": 3},
    ]
    net = made(layers, (5, 4))

    assert net.cut({"seen"}).below == ()
    assert net.cut({"layer", "seen"}).below == ("layer", "seen")


def test_alpha_dropout_keeps_mean_and_variance_of_standard_inputs():
    net = alone({"kind": "alpha_dropout", "rate": 0.2}, (100,))
    torch.manual_seed(1)
    x = torch.randn(5000, 100)

    found = part(net).train()(x)

    assert found.mean().item() == pytest.approx(0, abs=0.01)
    assert found.std().item() == pytest.approx(1, abs=0.01)


def test_gaussian_dropout_has_the_variance_of_dropout():
    net = alone({"kind": "gaussian_dropout", "rate": 0.2}, (100,))
    torch.manual_seed(1)

    found = part(net).train()(torch.ones(5000, 100))

    assert found.std().item() == pytest.approx(sqrt(0.2 / 0.8), rel=0.01)


@pytest.mark.parametrize("shape", [(30, 40), (40, 6, 5)])
def test_spatial_dropout_takes_whole_channels(shape: Any):
    net = alone({"kind": "spatial_dropout"}, shape)
    torch.manual_seed(1)

    found = part(net).train()(torch.ones(4, *shape))

    across = (1,) if len(shape) == 2 else (2, 3)
    assert torch.equal(found.amin(across), found.amax(across))
    assert set(found.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    ("layer", "shape", "field", "said"),
    [
        ({"kind": "reshape", "shape": [5]}, (3, 2), "shape", "has 6 numbers"),
        ({"kind": "reshape", "shape": [4, -1]}, (3, 2), "shape", "a multiple of 4"),
        ({"kind": "reshape", "shape": [-1, -1]}, (3, 2), "shape", "one of them"),
        ({"kind": "permute", "axes": [1, 1]}, (3, 2), "axes", "each exactly once"),
        ({"kind": "cropping1d", "cropping": 2}, (3, 2), "cropping", "nothing is left"),
        ({"kind": "cropping2d"}, (1, 2, 2), "cropping", "nothing is left"),
        ({"kind": "spatial_dropout"}, (3,), "kind", "takes images"),
        ({"kind": "repeat_vector", "steps": 2}, (3, 2), "kind", "takes vectors"),
        ({"kind": "add"}, (3,), "inputs", "needs at least two inputs"),
        (
            {"kind": "concatenate", "axis": "steps", "inputs": ["input"] * 2},
            (3,),
            "axis",
            "only sequences",
        ),
    ],
)
def test_what_does_not_fit_is_told(layer: Any, shape: Any, field: str, said: str):
    with pytest.raises(InvalidSpec) as told:
        alone(layer, shape)

    problem = told.value.problems[0]
    assert problem.pointer == f"/network/layers/0/{field}"
    assert said in problem.detail


@pytest.mark.parametrize("name", ["train", "training", "keys", "forward", "type"])
def test_a_layer_may_have_any_name(name: str):
    net = made([{"kind": "dense", "name": name, "units": 3}], (2,))

    net.train()

    assert net(torch.zeros(2, 2, dtype=torch.float64)).shape == (2, 3)
    assert part(net, name).training
    assert f"layers.{name}.weight" in net.state_dict()
