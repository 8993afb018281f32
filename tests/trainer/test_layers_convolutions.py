"""Convolutions give the numbers of their definition, with padding as in Keras."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainer.layers import alone, applied, filled_with, part
from trainer.spec.errors import InvalidSpec

RAMP = torch.arange(1.0, 6.0, dtype=torch.float64)
PLAIN = {"activation": "none", "normalization": "none", "bias": False}


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"padding": "valid"}, [6, 9, 12]),
        ({"padding": "same"}, [3, 6, 9, 12, 9]),
        ({"padding": "causal"}, [1, 3, 6, 9, 12]),
        ({"padding": "same", "stride": 2}, [3, 9, 9]),
        ({"padding": "causal", "stride": 2}, [1, 6, 12]),
        ({"padding": "causal", "dilation": 2}, [1, 2, 4, 6, 9]),
        # even: TensorFlow puts the odd zero behind
        ({"padding": "same", "kernel_size": 2}, [3, 5, 7, 9, 5]),
        ({"padding": "same", "kernel_size": 4, "stride": 3}, [6, 12]),
    ],
)
def test_a_convolution_over_steps_sums_what_keras_sums(given: Any, expected: Any):
    layer = {"kind": "conv1d", "filters": 1, "kernel_size": 3, **PLAIN, **given}
    net = filled_with(alone(layer, (5, 1)), 1.0)

    found = applied(net, RAMP.reshape(1, 5, 1))

    assert found.flatten().tolist() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # every input spreads 1 over its kernel; sizes n s + max(k - s, 0) and n s
        ({"kernel_size": 3, "stride": 1}, [1, 3, 6, 5, 3]),
        ({"kernel_size": 3, "stride": 2}, [1, 1, 3, 2, 5, 3, 3]),
        ({"kernel_size": 1, "stride": 2}, [1, 0, 2, 0, 3, 0]),
        ({"kernel_size": 3, "stride": 1, "padding": "same"}, [3, 6, 5]),
        ({"kernel_size": 3, "stride": 2, "padding": "same"}, [1, 1, 3, 2, 5, 3]),
        ({"kernel_size": 4, "stride": 2, "padding": "same"}, [1, 3, 3, 5, 5, 3]),
        ({"kernel_size": 1, "stride": 2, "padding": "same"}, [1, 0, 2, 0, 3, 0]),
    ],
)
def test_a_transposed_convolution_has_the_sizes_and_sums_of_keras(
    given: Any, expected: Any
):
    layer = {"kind": "transposed_conv1d", "filters": 1, **PLAIN, **given}
    net = filled_with(alone(layer, (3, 1)), 1.0)

    found = applied(net, RAMP[:3].reshape(1, 3, 1))

    assert found.flatten().tolist() == expected


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (4, 2), (5, 3), (2, 3)])
def test_a_transposed_convolution_is_the_gradient_of_the_convolution(
    padding: str, kernel: int, stride: int
):
    rest = {"kernel_size": kernel, "stride": stride, "padding": padding} | PLAIN
    spread = alone({"kind": "transposed_conv2d", "filters": 2, **rest}, (3, 4, 2))
    size = spread.rows[0].output_shape
    gather = alone({"kind": "conv2d", "filters": 3, **rest}, size)
    weight = part(spread).weight
    part(gather).weight = nn.Parameter(weight.detach())
    x = doubles(1, *size).requires_grad_()
    outputs = applied(gather, x)
    back = doubles(*outputs.shape, seed=1)

    (gradient,) = torch.autograd.grad(outputs, x, back)

    torch.testing.assert_close(applied(spread, back), gradient)


def test_a_convolution_over_steps_equals_torch_in_groups():
    layer = {"kind": "conv1d", "filters": 6, "groups": 2, "stride": 2, "dilation": 2}
    net = alone(layer | {"activation": "tanh", "normalization": "none"}, (11, 4))
    x, module = doubles(3, 11, 4), part(net)

    expected = functional.conv1d(
        x.mT, module.weight, module.bias, stride=2, dilation=2, groups=2
    )

    torch.testing.assert_close(applied(net, x), expected.tanh().mT)


def test_a_kernel_of_one_is_the_same_dense_layer_at_every_step():
    layer = {"kind": "conv1d", "filters": 5, "kernel_size": 1, "normalization": "none"}
    net = alone(layer, (4, 3))
    x, module = doubles(2, 4, 3), part(net)

    expected = functional.elu(x @ module.weight[:, :, 0].T + module.bias)

    torch.testing.assert_close(applied(net, x), expected)


def test_depthwise_outputs_lie_channel_by_channel():
    layer = {"kind": "depthwise_conv2d", "depth_multiplier": 2, "kernel_size": 1}
    net = alone(layer | PLAIN, (2, 1, 1))
    factors = torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64)
    part(net).weight.data = factors.reshape(4, 1, 1, 1)

    found = applied(
        net, torch.tensor([3.0, 7.0], dtype=torch.float64).reshape(1, 2, 1, 1)
    )

    assert found.flatten().tolist() == [3, 30, 700, 7000]


@pytest.mark.parametrize("shape", [(9, 3), (3, 9, 7)])
def test_a_separable_convolution_is_two_convolutions(shape: Any):
    kind = f"separable_conv{len(shape) - 1}d"
    layer = {"kind": kind, "filters": 5, "depth_multiplier": 2, "stride": 2}
    net = alone(layer | {"activation": "none", "normalization": "none"}, shape)
    module, x = part(net), doubles(2, *shape)
    convolve = functional.conv2d if len(shape) == 3 else functional.conv1d
    seen = x if len(shape) == 3 else x.mT

    apart = convolve(seen, module.depthwise_weight, stride=2, groups=3)
    expected = convolve(apart, module.pointwise_weight, module.bias)

    torch.testing.assert_close(
        applied(net, x), expected if len(shape) == 3 else expected.mT
    )


def test_a_separable_convolution_needs_fewer_weights():
    full = alone({"kind": "conv2d", "filters": 32, **PLAIN}, (16, 8, 8))
    apart = alone({"kind": "separable_conv2d", "filters": 32, **PLAIN}, (16, 8, 8))

    assert full.rows[0].parameters == 32 * 16 * 9
    assert apart.rows[0].parameters == 16 * 9 + 32 * 16


@pytest.mark.parametrize(
    ("layer", "weight", "axis"),
    [
        ({"kind": "conv1d", "filters": 5}, (5, 3, 3), 0),
        ({"kind": "conv2d", "filters": 5}, (5, 9, 3, 3), 0),
        ({"kind": "transposed_conv1d", "filters": 5}, (3, 5, 3), 1),
        ({"kind": "transposed_conv2d", "filters": 5}, (9, 5, 3, 3), 1),
        ({"kind": "depthwise_conv2d", "depth_multiplier": 2}, (18, 1, 3, 3), 0),
    ],
)
def test_a_filter_is_a_unit_wherever_its_axis_lies(layer: Any, weight: Any, axis: int):
    net = alone(layer, (9, 3) if "1d" in layer["kind"] else (9, 9, 9))

    told = net.rows[0].tensors["weight"]

    assert (told.shape, told.unit_axis, told.role) == (weight, axis, "weight")
    assert net.rows[0].tensors["bias"].shape == (weight[axis],)


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        ({"kind": "conv1d", "filters": 3}, (8,), "takes sequences (steps, features)"),
        ({"kind": "conv1d", "filters": 3}, (1, 8, 8), "takes sequences"),
        (
            {"kind": "conv1d", "filters": 3},
            (2, 4),
            "3 positions, is given a sequence of 2",
        ),
        ({"kind": "conv1d", "filters": 3, "groups": 2}, (8, 4), "2 groups divide"),
        ({"kind": "separable_conv2d", "filters": 3}, (8, 4), "takes images"),
        ({"kind": "transposed_conv2d", "filters": 3}, (8, 4), "takes images"),
        ({"kind": "max_pool1d", "pool_size": 9}, (8, 4), "9 positions"),
    ],
)
def test_what_does_not_fit_is_told(layer: Any, shape: Any, said: str):
    with pytest.raises(InvalidSpec) as told:
        alone(layer, shape)

    assert said in str(told.value)
