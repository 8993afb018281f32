"""Every kind of layer survives what a job does to it: training, freezing, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from tests.trainer.layers import made, part
from tests.trainer.trainings import (
    assert_same,
    build,
    history,
    model,
    spec,
    trained,
    weights,
)
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.network import Network
from trainer.spec.base import variants
from trainer.spec.layers import Layer
from trainer.spec.layers.noise import Noise
from trainer.spec.network import NetworkSpec
from trainer.training.loop import fit

WORDS = {"kind": "embedding", "units": 4, "vocabulary_size": 9}
IDS, SEQUENCE, IMAGE, VECTOR = (7,), (6, 4), (2, 7, 6), (6,)
PAIR = (2, 6)
SUM = {"inputs": ["one", "two"]}
CALM = {"normalization": "none", "dropout": 0.0}

NETWORKS: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "words": (IDS, [WORDS, {"kind": "global_average_pool1d"}]),
    "recurrent": (
        IDS,
        [
            WORDS,
            {"kind": "lstm", "units": 3, "bidirectional": True, "dropout": 0.2}
            | {"return_sequences": True},
            {"kind": "gru", "units": 3, "return_sequences": True},
            {"kind": "simple_rnn", "units": 4},
        ],
    ),
    "recurrent without padding": (
        SEQUENCE,
        [
            {"kind": "gru", "units": 3, "bidirectional": True}
            | {"return_sequences": True},
            {"kind": "simple_rnn", "units": 4, "activation": "relu"},
        ],
    ),
    "attention": (
        IDS,
        [
            WORDS,
            {"kind": "positional_encoding"},
            {"kind": "transformer_block", "heads": 2, "causal": True},
            {"kind": "multi_head_attention", "heads": 2, "dropout": 0.2},
            {"kind": "global_max_pool1d"},
        ],
    ),
    "attention without padding": (
        SEQUENCE,
        [
            {"kind": "positional_encoding", "method": "learned"},
            {"kind": "transformer_block", "heads": 2, "normalize_first": False},
            {"kind": "multi_head_attention", "heads": 2, "causal": True},
            {"kind": "global_max_pool1d"},
        ],
    ),
    "convolutions over words": (
        IDS,
        [
            WORDS,
            {"kind": "conv1d", "filters": 4, "kernel_size": 2},
            {"kind": "max_pool1d", "stride": 1},
            {"kind": "zero_padding1d"},
            {"kind": "upsampling1d"},
            {"kind": "average_pool1d", "padding": "same"},
            {"kind": "cropping1d", "cropping": [1, 0]},
            {"kind": "transposed_conv1d", "filters": 3, "padding": "same"},
            {"kind": "transposed_conv1d", "filters": 3, "stride": 2, "name": "long"},
            {"kind": "concatenate", "inputs": ["transposed_conv1d1", "long"]}
            | {"axis": "steps"},
            {"kind": "global_average_pool1d"},
        ],
    ),
    "convolutions over steps": (
        SEQUENCE,
        [
            {"kind": "conv1d", "filters": 4, "padding": "causal", "dilation": 2},
            {"kind": "max_pool1d", "padding": "same", "pool_size": 3, "stride": 2},
            {"kind": "separable_conv1d", "filters": 3, "padding": "same"},
            {"kind": "transposed_conv1d", "filters": 4, "stride": 2},
            {"kind": "average_pool1d", "padding": "same", "pool_size": 3},
            {"kind": "spatial_dropout"},
            {"kind": "upsampling1d"},
            {"kind": "zero_padding1d"},
            {"kind": "cropping1d", "cropping": [1, 2]},
            {"kind": "permute", "axes": [2, 1]},
            {"kind": "flatten"},
            {"kind": "repeat_vector", "steps": 2},
            {"kind": "global_max_pool1d"},
            {"kind": "reshape", "shape": [-1, 2]},
        ],
    ),
    "convolutions of images": (
        IMAGE,
        [
            {"kind": "depthwise_conv2d", "depth_multiplier": 2, "padding": "same"},
            {"kind": "separable_conv2d", "filters": 5, "stride": 2, "padding": "same"},
            {"kind": "transposed_conv2d", "filters": 3, "kernel_size": 4, "stride": 3},
            {"kind": "transposed_conv2d", "filters": 3, "kernel_size": [2, 5]}
            | {"stride": [3, 2], "padding": "same"},
            {"kind": "upsampling2d", "size": [1, 2]},
            {"kind": "zero_padding2d", "padding": [1, [0, 2]]},
            {"kind": "cropping2d"},
            {"kind": "residual", "filters": 3, "stride": 2},
            {"kind": "average_pool2d"},
            {"kind": "max_pool2d"},
            {"kind": "conv2d", "filters": 3},
            {"kind": "global_max_pool2d"},
        ],
    ),
    "merges": (
        VECTOR,
        [
            {"kind": "dense", "units": 5, "name": "one"},
            {"kind": "dense", "units": 5, "name": "two", "inputs": ["input"]},
            {"kind": "add", "name": "sum", **SUM},
            {"kind": "multiply", "name": "gate", **SUM},
            {"kind": "average", "name": "mean", **SUM},
            {"kind": "maximum", "name": "most", **SUM},
            {"kind": "concatenate", "inputs": ["sum", "gate", "mean", "most"]},
        ],
    ),
    "tied": (
        IMAGE,
        [
            {"kind": "dense", "units": 6, "name": "code"},
            {"kind": "dense", "units": 4, "name": "deep", "normalization": "none"},
            {"kind": "tied_dense", "tied_to": "deep", "dropout": 0.2},
            {"kind": "tied_dense", "tied_to": "code", "bias": False},
        ],
    ),
    "siamese": (
        PAIR,
        [
            {"kind": "select", "name": "left"},
            {"kind": "dense", "units": 5, "name": "one"},
            {"kind": "select", "index": 1, "name": "right", "inputs": ["input"]},
            {"kind": "shared", "of": "one", "name": "two"},
            {"kind": "absolute_difference", "name": "apart", **SUM},
            {"kind": "cosine_distance", "name": "angle", **SUM},
            {"kind": "euclidean_distance", "name": "far", **SUM},
            {"kind": "distance_threshold", "name": "answer", "threshold": 0.7},
            {"kind": "concatenate", "inputs": ["apart", "angle", "answer"]},
        ],
    ),
    "shared convolution": (
        (2, *IMAGE),
        [
            {"kind": "select", "name": "left"},
            {"kind": "conv2d", "filters": 3, "name": "one"},
            {"kind": "select", "index": 1, "name": "right", "inputs": ["input"]},
            {"kind": "shared", "of": "one", "name": "two"},
            {"kind": "concatenate", "inputs": ["one", "two"]},
        ],
    ),
    "shared words": (
        IDS,
        [
            {"name": "words", **WORDS},
            {"kind": "gru", "units": 3, "name": "one"},
            {"kind": "shared", "of": "one", "name": "two", "inputs": ["words"]},
            {"kind": "absolute_difference", **SUM},
        ],
    ),
    "noises": (
        VECTOR,
        [
            {"kind": "gaussian_noise"},
            {"kind": "dense", "units": 5, "activation": "selu"},
            {"kind": "alpha_dropout"},
            {"kind": "dropout"},
            {"kind": "gaussian_dropout"},
        ],
    ),
}
every_network = pytest.mark.parametrize(
    ("shape", "layers"), list(NETWORKS.values()), ids=list(NETWORKS)
)
ELSEWHERE = {
    "activation",
    "batch_normalization",
    "column_embedding",
    "columns",
    "global_average_pool2d",
    "group_normalization",
    "instance_normalization",
    "layer_normalization",
    "rms_normalization",
}
"""Layers whose own tests are in other files."""


def rows(shape: tuple[int, ...], count: int = 30, seed: int = 1) -> Tensor:
    """Return inputs of a shape: ids behind which there is padding, or numbers."""
    generator = torch.Generator().manual_seed(seed)
    if shape != IDS:
        return torch.randn(count, *shape, generator=generator)
    ids = torch.randint(1, 9, (count, *shape), generator=generator).float()
    lengths = torch.randint(1, shape[0] + 1, (count, 1), generator=generator)
    return ids * (torch.arange(shape[0]) < lengths)


def sequences(shape: tuple[int, ...], count: int = 24) -> Dataset:
    """Return a data set with one array and a class that follows from it."""
    x = rows(shape, count).numpy()
    label = (np.arange(count) % 3).astype(np.int64)
    x.reshape(count, -1)[:, 0] = label + 1  # something to learn, an id too
    arrays: dict[str, Any] = {"x": x, "label": label}
    return described(Path("toy"), {"train": arrays}, "toy")


def test_every_kind_of_layer_is_in_some_network():
    kinds = {_kind(member) for member in variants(Layer)}
    used = {layer["kind"] for _, layers in NETWORKS.values() for layer in layers}

    assert kinds - used == ELSEWHERE


@every_network
def test_layers_have_the_tensors_and_shapes_that_they_tell(shape: Any, layers: Any):
    net = made(layers, shape)
    values = {"input": rows(shape).double()}

    for row in net.rows:
        module = part(net, row.name)
        told = {name: t.shape for name, t in row.tensors.items()}
        has = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        words = {"lender": part(net, row.lender)} if row.lender else {}
        values[row.name] = module(*(values[name] for name in row.inputs), **words)

        assert has == told
        assert tuple(values[row.name].shape[1:]) == row.output_shape


@every_network
def test_the_gradient_is_that_of_the_outputs(shape: Any, layers: Any):
    net = made(layers, shape)
    x = rows(shape, 3).double()
    learning = [p for p in net.parameters() if p.requires_grad]

    def outputs(*parameters: Tensor) -> Tensor:
        names = [name for name, _ in net.named_parameters()]
        given = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(net, given, (x,))
        return found

    assert torch.autograd.gradcheck(outputs, learning, fast_mode=True)


@every_network
def test_the_graph_is_recorded_and_answers_the_same(
    shape: Any, layers: Any, tmp_path: Path
):
    net = made(layers, shape).float()
    path = tmp_path / "model.onnx"

    exported = export(net, rows(shape, 64), path)

    onnx.checker.check_model(path, full_check=True)
    assert exported.route == "recorded"
    assert exported.maximum_difference <= 1e-4


@every_network
def test_a_network_comes_back_from_its_description_and_tensors(shape: Any, layers: Any):
    net = made(layers, shape).float()
    text = net.spec.model_dump_json(exclude_none=True)

    again = Network(NetworkSpec.model_validate_json(text), net.shape).eval()
    again.load_state_dict(net.state_dict())

    x = rows(shape)
    assert torch.equal(again(x), net(x))


@every_network
def test_parts_of_a_batch_train_like_the_whole(shape: Any, layers: Any):
    calm = spec([_calm(layer) for layer in layers], defaults=CALM, epochs=2)
    data = sequences(shape)
    whole, parts = build(calm, data), build(calm, data, micro_batch=3)

    trained(whole.training)
    trained(parts.training)

    torch.testing.assert_close(
        weights(parts.training), weights(whole.training), atol=1e-5, rtol=1e-4
    )


@every_network
def test_a_stopped_training_goes_on_bit_for_bit(shape: Any, layers: Any):
    what, data = spec(layers, epochs=2), sequences(shape)
    straight = build(what, data).training
    trained(straight)
    stopped = build(what, data).training
    for report in fit(stopped, pause_seconds=0):
        if report.step == 4:
            break
    snapshot = stopped.snapshot()

    resumed = build(what, data).training
    assert resumed.restore(snapshot)
    trained(resumed)

    assert_same(weights(resumed), weights(straight))


@every_network
def test_frozen_layers_keep_every_bit_with_and_without_their_outputs_kept(
    shape: Any, layers: Any, tmp_path: Path
):
    data = sequences(shape)
    source = model(tmp_path / "source", spec(layers, epochs=1), data)
    taken = {"from": "source", "layers": ".*", "freeze": 3}
    once = spec(layers, reuse=[taken], epochs=2, frozen_cache="required")
    kept = build(once, data, sources=[source])
    before = {n: t.clone() for n, t in kept.frozen.tensors().items()}
    reports = trained(kept.training)
    each_time = spec(layers, reuse=[taken], epochs=2, frozen_cache="off")

    again = build(each_time, data, sources=[source])

    assert before
    assert_same(kept.frozen.tensors(), before)
    assert history(reports) == history(trained(again.training))
    assert_same(weights(kept.training), weights(again.training))


@every_network
def test_the_weights_into_a_unit_are_bounded_along_its_own_axis(
    shape: Any, layers: Any
):
    limited = spec(layers, epochs=1, regularization={"max_norm": 0.05})
    training = build(limited, sequences(shape)).training

    trained(training)

    norms = [
        each.parameter.detach().movedim(each.shape.unit_axis, 0).flatten(1).norm(dim=1)
        for each in training.network.described()
        if each.weighs and each.layer != "output"
    ]
    assert norms
    assert torch.cat(norms).max().item() == pytest.approx(0.05, rel=1e-2)


def _calm(layer: dict[str, Any]) -> dict[str, Any]:
    """Return the layer with nothing random in it: parts of a batch draw otherwise."""
    member = next(m for m in variants(Layer) if _kind(m) == layer["kind"])
    if issubclass(member, Noise):
        return {"kind": "activation", "activation": "linear"}
    return layer | ({"dropout": 0.0} if "dropout" in member.model_fields else {})


def _kind(member: Any) -> str:
    return str(member.model_fields["kind"].default)
