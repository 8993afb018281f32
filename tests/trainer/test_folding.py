"""Batch normalisation folded into the layer below: the same answers, fewer steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from tests.trainer.networks import network
from trainer.network import Network
from trainer.serving.folding import Folded, fold

IMAGE, SEQUENCE, VECTOR = (4, 7, 6), (6, 4), (5,)
Layers = list[dict[str, Any]]


def shaken(layers: Layers, shape: tuple[int, ...]) -> Network:
    """Return a network at rest, in double precision, with statistics of its own."""
    made = network(layers, shape).eval()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, _BatchNorm):
                for tensor in (module.weight, module.bias):
                    tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
    return made.double()


def both(layers: Layers, shape: tuple[int, ...]) -> tuple[Network, Network, Folded]:
    """Return a network, its folded copy and what was folded."""
    made = shaken(layers, shape)
    folded = copy.deepcopy(made)
    return made, folded, fold(folded)


def normalisations(made: Network) -> int:
    return sum(isinstance(module, _BatchNorm) for module in made.modules())


def assert_alike(one: Network, other: Network) -> None:
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(9, *one.shape, dtype=torch.float64, generator=draw)
    with torch.no_grad():
        torch.testing.assert_close(other(x), one(x), atol=1e-10, rtol=1e-10)


NORM = {"kind": "batch_normalization", "name": "norm"}
BARE = {"normalization": "none", "activation": "none"}
FOLDS: dict[str, tuple[Layers, tuple[int, ...], list[str]]] = {
    "dense": ([{"kind": "dense", "units": 6}], VECTOR, ["dense1"]),
    "without biases": (
        [{"kind": "dense", "units": 6, "bias": False}],
        VECTOR,
        ["dense1"],
    ),
    "maxout": (
        [{"kind": "dense", "units": 6, "activation": "maxout"}],
        VECTOR,
        ["dense1"],
    ),
    "convolution": (
        [{"kind": "conv2d", "filters": 6, "padding": "same"}],
        IMAGE,
        ["conv2d1"],
    ),
    "groups": ([{"kind": "conv2d", "filters": 6, "groups": 2}], IMAGE, ["conv2d1"]),
    "sequence": ([{"kind": "conv1d", "filters": 6}], SEQUENCE, ["conv1d1"]),
    "separable": (
        [{"kind": "separable_conv2d", "filters": 6}],
        IMAGE,
        ["separable_conv2d1"],
    ),
    "transposed": (
        [{"kind": "transposed_conv2d", "filters": 6, "stride": 2}],
        IMAGE,
        ["transposed_conv2d1"],
    ),
    "residual": (
        [{"kind": "residual", "filters": 6, "stride": 2}],
        IMAGE,
        ["residual1.conv1", "residual1.conv2", "residual1.shortcut"],
    ),
    "linear after the activation": (
        [
            {
                "kind": "dense",
                "units": 6,
                "activation": "none",
                "normalization_position": "after_activation",
            }
        ],
        VECTOR,
        ["dense1"],
    ),
    "layer": ([{"kind": "dense", "units": 6} | BARE, NORM], VECTOR, ["norm"]),
    "layer of an image": (
        [{"kind": "conv2d", "filters": 6} | BARE, NORM],
        IMAGE,
        ["norm"],
    ),
    "layer of a sequence": (
        [{"kind": "conv1d", "filters": 6} | BARE, NORM],
        SEQUENCE,
        ["norm"],
    ),
    "twice": (
        [{"kind": "dense", "units": 6, "activation": "none"}, NORM],
        VECTOR,
        ["dense1", "norm"],
    ),
    "logits": (
        [{"kind": "dense", "name": "output", "normalization": "batch"}],
        VECTOR,
        ["output"],
    ),
}


@pytest.mark.parametrize(
    ("layers", "shape", "names"), list(FOLDS.values()), ids=list(FOLDS)
)
def test_a_folded_network_answers_the_same(layers: Any, shape: Any, names: Any):
    made, folded, found = both(layers, shape)

    assert found.layers == names
    assert found.refused == {}
    assert normalisations(made) == len(names)
    assert normalisations(folded) == 0
    assert_alike(made, folded)


AFTER = {"normalization_position": "after_activation"}
REFUSED: dict[str, tuple[Layers, tuple[int, ...], str, str]] = {
    "after the activation": (
        [{"kind": "dense", "units": 6, "activation": "relu"} | AFTER],
        VECTOR,
        "dense1",
        "not the sums",
    ),
    "after an activation in a residual block": (
        [{"kind": "residual", "filters": 4, "activation": "relu"} | AFTER],
        IMAGE,
        "residual1.conv1",
        "not the sums",
    ),
    "an activation between": (
        [{"kind": "dense", "units": 6, "normalization": "none"}, NORM],
        VECTOR,
        "norm",
        "the activation of 'dense1' stands between",
    ),
    "another normalisation between": (
        [{"kind": "dense", "units": 6} | BARE | {"normalization": "layer"}, NORM],
        VECTOR,
        "norm",
        "the normalisation of 'dense1' stands between",
    ),
    "the input itself": ([NORM], VECTOR, "norm", "no layer with weights"),
    "a pooling between": (
        [{"kind": "conv2d", "filters": 4} | BARE, {"kind": "max_pool2d"}, NORM],
        IMAGE,
        "norm",
        "no layer with weights",
    ),
    "another user": (
        [
            {"kind": "dense", "name": "low", "units": 6} | BARE,
            NORM,
            {"kind": "add", "inputs": ["low", "norm"]},
        ],
        VECTOR,
        "norm",
        "also taken by other layers",
    ),
}


@pytest.mark.parametrize(
    ("layers", "shape", "name", "why"), list(REFUSED.values()), ids=list(REFUSED)
)
def test_what_cannot_be_folded_is_left_and_the_reason_told(
    layers: Any, shape: Any, name: str, why: str
):
    made, folded, found = both(layers, shape)

    assert why in found.refused[name]
    assert name not in found.layers
    assert normalisations(folded) == len(found.refused)
    assert_alike(made, folded)


def test_other_normalisations_are_no_lines_and_stay():
    layers: Layers = [{"kind": "dense", "units": 6, "normalization": "layer"}]

    made, folded, found = both(layers, VECTOR)

    assert found == Folded()
    assert_alike(made, folded)
