"""The graph that importing writes without torch is the network that torch builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.importing.checking import WrittenGraph
from trainer.importing.graph_activations import PLAIN, RULES
from trainer.importing.graph_writer import NotWritten, write
from trainer.network import Network
from trainer.saved.registration import PREFIX
from trainer.spec.network import NetworkSpec, filled, table

BARE = {"normalization": "none", "dropout": 0, "activation": "none"}
IMAGE = (4, 9, 8)
CONV: dict[str, Any] = {"kind": "conv2d", "filters": 6, "kernel_size": [3, 2]}
DEPTH = {"kind": "depthwise_conv2d", "depth_multiplier": 2}
SEPARABLE = {"kind": "separable_conv2d", "filters": 5, "padding": "same"}


def drawn(layers: list[dict[str, Any]], shape: tuple[int, ...]) -> Network:
    """Return a network with drawn weights and statistics."""
    spec = filled(NetworkSpec.model_validate({"defaults": BARE, "layers": layers}), 3)
    network = Network(spec, shape)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.9, generator=generator)
    return network.eval()


def difference(network: Network, to: Path) -> float:
    """Write the graph of a network and return how far its answers are off."""
    tensors = {
        name.removeprefix(PREFIX): tensor.numpy()
        for name, tensor in network.state_dict().items()
    }
    write(network.spec, table(network.spec, network.shape), tensors, to)
    draws = np.random.default_rng(4)
    x = draws.standard_normal((5, *network.shape)).astype(np.float32)
    with torch.inference_mode():
        theirs = network(torch.from_numpy(x)).numpy()
    off = np.abs(WrittenGraph(to)(x) - theirs) / max(1, np.abs(theirs).max())
    return float(off.max())


@pytest.mark.parametrize(
    "layers",
    [
        [CONV],
        [CONV | {"padding": "same", "stride": 2}],
        [CONV | {"dilation": 2, "groups": 2, "bias": False}],
        [CONV | {"activation": "relu", "normalization": "batch"}],
        [
            CONV
            | {
                "activation": "elu",
                "normalization": "batch",
                "normalization_position": "after_activation",
            }
        ],
        [DEPTH | {"stride": 2, "padding": "same"}],
        [SEPARABLE | {"bias": False, "depth_multiplier": 2}],
        [{"kind": "max_pool2d", "pool_size": 3, "stride": 2, "padding": "same"}],
        [{"kind": "average_pool2d", "pool_size": 3, "stride": 2, "padding": "same"}],
        [{"kind": "max_pool2d"}, {"kind": "average_pool2d", "pool_size": [2, 1]}],
        [{"kind": "global_average_pool2d"}],
        [{"kind": "batch_normalization"}, {"kind": "dropout", "rate": 0.5}],
        [{"kind": "zero_padding2d", "padding": [[1, 2], [0, 3]]}],
        [{"kind": "cropping2d", "cropping": [[1, 2], [0, 3]]}],
        [{"kind": "upsampling2d", "size": [2, 3]}],
        [{"kind": "reshape", "shape": [8, -1]}, {"kind": "permute", "axes": [2, 1]}],
        [{"kind": "permute", "axes": [3, 1, 2]}, {"kind": "flatten"}],
        [{"kind": "dense", "units": 7, "normalization": "batch"}],
        *(
            [
                CONV | {"name": "a"},
                CONV | {"name": "b", "inputs": ["input"]},
                {"kind": kind, "inputs": ["a", "b", "a"]},
            ]
            for kind in ("add", "multiply", "average", "maximum", "concatenate")
        ),
    ],
    ids=lambda layers: "-".join(layer["kind"] for layer in layers),
)
def test_a_layer_is_written_as_torch_computes_it(
    tmp_path: Path, layers: list[dict[str, Any]]
) -> None:
    assert difference(drawn(layers, IMAGE), tmp_path / "model.onnx") < 1e-5


@pytest.mark.parametrize(
    "kind", ["none", "linear", "softmax", "log_softmax", "prelu", *PLAIN, *RULES]
)
def test_an_activation_is_written_as_torch_computes_it(
    tmp_path: Path, kind: str
) -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "activation", "activation": kind},
        CONV | {"activation": kind},
    ]

    assert difference(drawn(layers, IMAGE), tmp_path / "model.onnx") < 1e-5


def test_a_sequence_is_joined_along_its_steps(tmp_path: Path) -> None:
    layers: list[dict[str, Any]] = [
        {"name": "a", "kind": "reshape", "shape": [16, 18]},
        {"name": "b", "kind": "reshape", "shape": [16, 18], "inputs": ["input"]},
        {"kind": "concatenate", "axis": "steps", "inputs": ["a", "b"]},
        {"kind": "activation", "activation": "softmax"},
    ]

    assert difference(drawn(layers, IMAGE), tmp_path / "model.onnx") < 1e-5


def test_a_layer_that_only_torch_knows_is_left_to_a_worker(tmp_path: Path) -> None:
    network = drawn([{"kind": "residual", "filters": 4}], IMAGE)

    with pytest.raises(NotWritten):
        difference(network, tmp_path / "model.onnx")
